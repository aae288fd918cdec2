# Applied to the whole build: a program mixes instrumented and plain objects only at the cost of
# false reports from containers that cross between them.
if(FASTCONV_SANITIZE)
    add_compile_options(-fsanitize=${FASTCONV_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${FASTCONV_SANITIZE})
endif()
