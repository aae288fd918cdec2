# Installs the library into an empty prefix and lets a separate project find, link and run it.
#
#   cmake -D BUILD_DIR=... -D WORK_DIR=... -D COMPILER=... -D GENERATOR=... -D BUILD_TYPE=...
#         -D FLAGS=... -D TOOLCHAIN=... -P check_package.cmake

cmake_minimum_required(VERSION 3.26...4.2)

set(prefix ${WORK_DIR}/prefix)
set(build ${WORK_DIR}/build)
file(REMOVE_RECURSE ${WORK_DIR})

execute_process(
    COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix} --component development
    COMMAND_ERROR_IS_FATAL ANY)

# A staging prefix is exempt from the search rules of a cross-compiling toolchain.
execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${build} -G ${GENERATOR}
            -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_CXX_FLAGS=${FLAGS}
            -D CMAKE_BUILD_TYPE=${BUILD_TYPE} -D CMAKE_TOOLCHAIN_FILE=${TOOLCHAIN}
            -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_STAGING_PREFIX=${prefix}
    COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${build} --output-on-failure
                        --no-tests=error
                COMMAND_ERROR_IS_FATAL ANY)
