# SPDX-License-Identifier: MIT
# Files as arrays of a C source, made when CMake runs; a change of a file makes it run again.

# Puts into `out` the C text of an array NAME and its size, from hexadecimal digits.
function(cor_embed_array out name hex)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  set(${out} "extern const unsigned char ${name}[];\nextern const size_t ${name}_size;\n\
const unsigned char ${name}[] = {\n${hex}};\nconst size_t ${name}_size = sizeof(${name});\n" PARENT_SCOPE)
endfunction()

function(cor_embed_write out text)
  # REUSE-IgnoreStart
  set(text "/* SPDX-License-Identifier: MIT */\n/* Made by cmake/Embed.cmake. */\n#include <stddef.h>\n${text}")
  # REUSE-IgnoreEnd
  file(CONFIGURE OUTPUT ${out} CONTENT "${text}" @ONLY) # written only if it is another one
endfunction()

# cor_embed(<out.c> <name>=<file>...): for each file `const unsigned char NAME[]` and `const size_t NAME_size`.
function(cor_embed out)
  set(text "")
  foreach(pair IN LISTS ARGN)
    string(REGEX MATCH "^([a-z_]+)=(.+)$" found ${pair})
    set(name ${CMAKE_MATCH_1})
    set(file ${CMAKE_MATCH_2})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} hex HEX)
    cor_embed_array(array ${name} "${hex}")
    string(APPEND text "${array}")
  endforeach()
  cor_embed_write(${out} "${text}")
endfunction()

# Puts into `out` the base64 form of 32 bytes that are given as 64 hexadecimal digits.
function(cor_base64_of_32 out hex)
  string(APPEND hex "00") # 33 bytes are 44 characters, and the last stands for nothing
  set(text "")
  set(characters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  foreach(at RANGE 0 60 6)
    string(SUBSTRING ${hex} ${at} 6 three)
    foreach(shift 18 12 6 0)
      math(EXPR index "(0x${three} >> ${shift}) & 63")
      string(SUBSTRING ${characters} ${index} 1 character)
      string(APPEND text ${character})
    endforeach()
  endforeach()
  string(SUBSTRING ${text} 0 43 text)
  set(${out} "${text}=" PARENT_SCOPE)
endfunction()

# cor_embed_document(<out.c> <name> <folder>): NAME.html with NAME.css and NAME.js in it, in place of the elements that
# name them, as NAME_html, and the Content-Security-Policy that allows these two and nothing else as NAME_policy.
function(cor_embed_document out name folder)
  foreach(part html css js)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/${name}.${part})
    file(READ ${folder}/${name}.${part} ${part}_hex HEX)
    file(SHA256 ${folder}/${name}.${part} hash)
    cor_base64_of_32(${part}_hash ${hash})
  endforeach()
  # In hexadecimal digits nothing means anything to CMake.
  foreach(part css js)
    set(tags_css "<link rel=\"stylesheet\" href=\"${name}.css\">" "<style>" "</style>")
    set(tags_js "<script src=\"${name}.js\"></script>" "<script>" "</script>")
    foreach(index 0 1 2)
      list(GET tags_${part} ${index} tag)
      string(HEX "${tag}" tag_${index})
    endforeach()
    string(FIND "${html_hex}" "${tag_0}" place)
    if(place EQUAL -1)
      message(FATAL_ERROR "${name}.html does not name ${name}.${part}")
    endif()
    string(REPLACE "${tag_0}" "${tag_1}${${part}_hex}${tag_2}" html_hex "${html_hex}")
  endforeach()
  string(HEX "default-src 'none'; script-src 'sha256-${js_hash}'; style-src 'sha256-${css_hash}'; \
connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
require-trusted-types-for 'script'; trusted-types 'none'" policy_hex)
  cor_embed_array(html ${name}_html "${html_hex}")
  cor_embed_array(policy ${name}_policy "${policy_hex}")
  cor_embed_write(${out} "${html}${policy}")
endfunction()
