# The kernels are compiled once for each instruction set of the target processor; for one that adds
# a few instructions to another, only the kernels that use them. Each unit is an OBJECT library
# fastconv_isa_<name> that sees FASTCONV_ISA_<NAME>=1; the dispatch code in the main library sees
# FASTCONV_HAVE_<NAME>=1 for each unit that was built.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(FASTCONV_ISAS generic sse2 avx2 avx512 avx512vnni)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(FASTCONV_ISAS generic neon)
else()
    set(FASTCONV_ISAS generic)
endif()

set(isa_flags_generic "")
set(isa_flags_sse2 -msse2)
set(isa_flags_avx2 -mavx2 -mfma)
set(isa_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
                     -mprefer-vector-width=512)
# GCC 12 warns about the undefined vectors in its own AVX-512 header.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND isa_flags_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set(isa_flags_avx512vnni ${isa_flags_avx512} -mavx512vnni)
set(isa_flags_neon "")

# What is compiled.
foreach(isa IN LISTS FASTCONV_ISAS)
    set(isa_source_${isa} isa_unit.cpp)
endforeach()
set(isa_source_avx512vnni quad_unit.cpp)

function(fastconv_add_isa_units target)
    # Sanitizer instrumentation at -O3 makes these units slow to compile for nothing in return, and
    # so do checks of every pointer, whose accesses AddressSanitizer watches already.
    set(optimisation -O3)
    if(FASTCONV_SANITIZE)
        set(optimisation -O1 -fno-sanitize=alignment,bounds,null,object-size)
    endif()

    foreach(isa IN LISTS FASTCONV_ISAS)
        string(TOUPPER ${isa} isa_upper)
        set(unit fastconv_isa_${isa})
        add_library(${unit} OBJECT ${PROJECT_SOURCE_DIR}/cpp/src/kernels/${isa_source_${isa}})
        target_include_directories(${unit} PRIVATE
            ${PROJECT_SOURCE_DIR}/cpp/include ${PROJECT_SOURCE_DIR}/cpp/src)
        fastconv_enable_warnings(${unit})
        target_compile_definitions(${unit} PRIVATE FASTCONV_ISA_${isa_upper}=1)
        # These options follow those of the build type on the command line, so they win.
        # psabi: the unit's vectors never cross an ABI boundary.
        target_compile_options(${unit} PRIVATE
            ${optimisation} ${isa_flags_${isa}}
            -fno-exceptions -fno-rtti -fno-math-errno -fno-trapping-math -Wno-psabi)
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${unit}>)
        target_compile_definitions(${target} PRIVATE FASTCONV_HAVE_${isa_upper}=1)
    endforeach()
endfunction()
