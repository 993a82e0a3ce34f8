# SPDX-License-Identifier: MIT
# How every C file here is compiled: language, warnings, hardening, sanitizers.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Optimised with symbols unless asked otherwise. No NDEBUG: the assertions that stay in are cheap by design.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_ASM_FLAGS_RELWITHDEBINFO "-g")
set(CMAKE_ASM_FLAGS_DEBUG "-g")

add_compile_definitions(_GNU_SOURCE COR_VERSION="${PROJECT_VERSION}" COR_HAVE_VALGRIND=${COR_HAVE_VALGRIND})

set(COR_C_FLAGS -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat-security
  # Backtraces of parked tasks walk frame pointers.
  -fno-omit-frame-pointer -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  # snprintf that cuts is the way texts are bounded here.
  list(APPEND COR_C_FLAGS -Wno-format-truncation)
endif()
if(COR_WERROR)
  list(APPEND COR_C_FLAGS -Werror)
endif()

if(COR_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-fsanitize=${COR_SANITIZE}>)
  add_link_options(-fsanitize=${COR_SANITIZE})
  if(COR_SANITIZE MATCHES "undefined")
    add_compile_options($<$<COMPILE_LANGUAGE:C>:-fno-sanitize-recover=undefined>)
  endif()
else()
  # A frame larger than the guard page must not step over it.
  check_c_compiler_flag(-fstack-clash-protection COR_HAS_STACK_CLASH)
  if(COR_HAS_STACK_CLASH)
    list(APPEND COR_C_FLAGS -fstack-clash-protection)
  endif()
  # The microcode that corrects the JCC erratum of Intel's Skylake to Cascade Lake keeps no jump in the decoded
  # instruction cache that touches a 32-byte boundary. Where the assembler moves jumps away from these, short paths take
  # up to 15 % less, and their time does not change with code elsewhere that shifts them.
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(COR_JUMPS -Wa,-mbranches-within-32B-boundaries)
  else()
    set(COR_JUMPS -mbranches-within-32B-boundaries)
  endif()
  check_c_compiler_flag(${COR_JUMPS} COR_HAS_JUMPS)
  if(COR_HAS_JUMPS)
    list(APPEND COR_C_FLAGS ${COR_JUMPS})
  endif()
  # Without it a prefetch for writing is one for reading: another core's line would come twice. A processor that does
  # not know the instruction does nothing.
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
    check_c_compiler_flag(-mprfchw COR_HAS_PREFETCHW)
    if(COR_HAS_PREFETCHW)
      list(APPEND COR_C_FLAGS -mprfchw)
    endif()
  endif()
  if(NOT COR_COVERAGE)
    list(APPEND COR_C_FLAGS -U_FORTIFY_SOURCE $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  endif()
endif()
if(COR_COVERAGE)
  # Workers are threads: counters must not lose updates.
  add_compile_options($<$<COMPILE_LANGUAGE:C>:--coverage> $<$<COMPILE_LANGUAGE:C>:-fprofile-update=atomic>)
  add_link_options(--coverage)
  set(CMAKE_C_FLAGS_DEBUG "-O0 -g")
endif()
if(COR_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "COR_FUZZ needs clang (libFuzzer): cmake --preset fuzz")
  endif()
  add_compile_options($<$<COMPILE_LANGUAGE:C>:-fsanitize=fuzzer-no-link>)
endif()

add_compile_options("$<$<COMPILE_LANGUAGE:C>:${COR_C_FLAGS}>")
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
