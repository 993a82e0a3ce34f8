# SPDX-License-Identifier: MIT
# The manual pages, made by tools/man.py. Without Python there are none, and nothing else is missing.
find_package(Python3 COMPONENTS Interpreter QUIET)
if(NOT Python3_FOUND)
  message(STATUS "manual pages: off (no python3)")
  add_custom_target(coracle_manual)
  return()
endif()

file(GLOB man_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/coracle/*.h ${PROJECT_SOURCE_DIR}/docs/man/*.[17])
set(man_dir ${PROJECT_BINARY_DIR}/man)
add_custom_command(OUTPUT ${man_dir}/made
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${man_dir}
  COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tools/man.py --version ${PROJECT_VERSION} ${man_dir}
  COMMAND ${CMAKE_COMMAND} -E touch ${man_dir}/made
  DEPENDS ${PROJECT_SOURCE_DIR}/tools/man.py ${man_sources}
  COMMENT "Making the manual pages"
  VERBATIM)
add_custom_target(coracle_manual ALL DEPENDS ${man_dir}/made)
install(DIRECTORY ${man_dir}/man1 ${man_dir}/man3 ${man_dir}/man7 DESTINATION ${CMAKE_INSTALL_MANDIR})
