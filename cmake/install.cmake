include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fastconv)

install(TARGETS fastconv EXPORT fastconv_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT development)
install(DIRECTORY cpp/include/fastconv DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development FILES_MATCHING PATTERN "*.hpp")
install(EXPORT fastconv_targets NAMESPACE fastconv:: FILE fastconv-targets.cmake
        DESTINATION ${package_dir} COMPONENT development)

configure_package_config_file(cmake/fastconv-config.cmake.in
    ${PROJECT_BINARY_DIR}/fastconv-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fastconv-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fastconv-config.cmake
              ${PROJECT_BINARY_DIR}/fastconv-config-version.cmake
        DESTINATION ${package_dir} COMPONENT development)
