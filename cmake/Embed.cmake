# SPDX-License-Identifier: MIT
# Files as arrays of a C source, made when CMake runs; a change of a file makes it run again.

# cor_embed(<out.c> <name>=<file>...): for each file `const unsigned char NAME[]` and `const size_t NAME_size`.
function(cor_embed out)
  # REUSE-IgnoreStart
  set(text "/* SPDX-License-Identifier: MIT */\n/* Made by cmake/Embed.cmake. */\n#include <stddef.h>\n")
  # REUSE-IgnoreEnd
  foreach(pair IN LISTS ARGN)
    string(REGEX MATCH "^([a-z_]+)=(.+)$" found ${pair})
    set(name ${CMAKE_MATCH_1})
    set(file ${CMAKE_MATCH_2})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(APPEND text "extern const unsigned char ${name}[];\nextern const size_t ${name}_size;\n"
      "const unsigned char ${name}[] = {\n${hex}};\nconst size_t ${name}_size = sizeof(${name});\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out} CONTENT "${text}" @ONLY) # written only if it is another one
endfunction()
