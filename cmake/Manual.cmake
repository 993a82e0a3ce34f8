# SPDX-License-Identifier: MIT
# The manual pages and the completions of shells. Without Python there are none, and nothing else is missing.
find_package(Python3 COMPONENTS Interpreter QUIET)
if(NOT Python3_FOUND)
  message(STATUS "manual pages, completions: off (no python3)")
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

# The completions come from the program's own --help, so it is run here (by an emulator for another CPU).
if(NOT TARGET coracle_program OR COR_SANITIZE OR (CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR))
  return()
endif()
set(completions_dir ${PROJECT_BINARY_DIR}/completions)
add_custom_command(OUTPUT ${completions_dir}/_coracle
  COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tools/completions.py ${completions_dir}
    ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:coracle_program>
  DEPENDS ${PROJECT_SOURCE_DIR}/tools/completions.py coracle_program
  COMMENT "Making the completions of shells"
  VERBATIM)
add_custom_target(coracle_completions ALL DEPENDS ${completions_dir}/_coracle)
add_dependencies(coracle_manual coracle_completions)
set(COR_ZSH_COMPLETIONS ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Where zsh looks for completions")
mark_as_advanced(COR_ZSH_COMPLETIONS)
install(FILES ${completions_dir}/coracle.bash RENAME coracle
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions_dir}/_coracle DESTINATION ${COR_ZSH_COMPLETIONS})
install(FILES ${completions_dir}/coracle.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
