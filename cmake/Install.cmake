# SPDX-License-Identifier: MIT
# make install: headers, libraries, program, pkg-config, CMake package, manual. packaging/debian packs what it installs.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
# Two exports: who has only one of the libraries can find that one.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/coracle)
foreach(kind shared static)
  install(TARGETS coracle_${kind} EXPORT coracle-${kind}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT coracle-${kind} NAMESPACE coracle:: DESTINATION ${package_dir})
endforeach()
if(TARGET coracle_program)
  install(TARGETS coracle_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
include(Manual)
if(TARGET coracle_program)
  # Where systemd looks below each prefix; with DESTDIR too.
  configure_file(packaging/systemd/coracle.service.in coracle.service @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/coracle.service packaging/systemd/coracle.socket DESTINATION lib/systemd/system)
  install(FILES packaging/sysusers/coracle.conf DESTINATION lib/sysusers.d)
endif()
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Found from its own place, so that it is right wherever the files were installed (DESTDIR, --prefix, a package).
file(RELATIVE_PATH prefix_from_pc
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
list(TRANSFORM CMAKE_DL_LIBS PREPEND -l OUTPUT_VARIABLE dl_flag)
configure_file(cmake/coracle.pc.in coracle.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/coracle.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# The -rpath in it lets a program run right after `make install`, whatever the prefix and whoever ran it: no ldconfig.
# Below /usr the loader looks anyway, and packages are not supposed to carry one.
install(CODE "set(pc \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig/coracle.pc\")")
install(CODE [[
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  file(READ "${pc}" text)
  string(REPLACE " -Wl,-rpath,\${libdir}" "" text "${text}")
  file(WRITE "${pc}" "${text}")
endif()]])

configure_package_config_file(cmake/coracleConfig.cmake.in coracleConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(coracleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/coracleConfig.cmake ${PROJECT_BINARY_DIR}/coracleConfigVersion.cmake
  DESTINATION ${package_dir})
