# SPDX-License-Identifier: MIT
# What this machine offers: the CPU, and the optional packages. What is off is said at configure time.
find_package(PkgConfig QUIET)
find_package(Threads REQUIRED)
include(CheckCCompilerFlag)

# COR_CPU names the context switch: src/ctx/ctx_<COR_CPU>.S.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(COR_CPU x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(COR_CPU aarch64)
else()
  message(FATAL_ERROR "Coracle has no context switch for the CPU '${CMAKE_SYSTEM_PROCESSOR}'; "
    "it has them for x86_64 and aarch64 (src/ctx/ctx_<cpu>.S).")
endif()

if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "Coracle runs on Linux only, not on ${CMAKE_SYSTEM_NAME}.")
endif()

# cor_use(<NAME> <module> <what is not there without it> [<library>]): COR_HAVE_<NAME> 0/1. With 1 there is the target
# PkgConfig::<NAME>, and COR_<NAME>_LIBRARY has the path of the library that no file of pkg-config names.
function(cor_use name module without)
  set(COR_HAVE_${name} 0 PARENT_SCOPE)
  if(COR_WITH_${name} AND PkgConfig_FOUND)
    pkg_check_modules(${name} QUIET IMPORTED_TARGET ${module})
    if(ARGN)
      find_library(COR_${name}_LIBRARY NAMES ${ARGN} HINTS ${${name}_LIBDIR} ${${name}_LIBRARY_DIRS})
      mark_as_advanced(COR_${name}_LIBRARY)
    endif()
    if(${name}_FOUND AND (COR_${name}_LIBRARY OR NOT ARGN))
      set(COR_HAVE_${name} 1 PARENT_SCOPE)
      return()
    endif()
  endif()
  list(JOIN ARGN "" library)
  string(REGEX REPLACE "(.+)" " (with \\1)" library "${library}")
  message(NOTICE "${module}${library}: off or not found; ${without}")
endfunction()

cor_use(JSON json-c "no broadcast service" libjson-c.a)
cor_use(ADMIN libmicrohttpd>=0.9.75 "no status over HTTP")
cor_use(NATS libnats>=3.4 "a broadcast room has one node")
cor_use(SYSTEMD libsystemd>=246 "no socket activation, readiness or watchdog")
cor_use(SECCOMP libseccomp>=2.5.1 "coracle serve --sandbox restricts files, but no system calls")
# These two go into libcoracle.a.
cor_use(URING liburing>=2.3 "the only poller is epoll" liburing.a)
cor_use(CARES libcares>=1.18 "names of hosts come from /etc/hosts only" libcares.a)
# The broadcast service's entry for browsers.
set(COR_HAVE_WEBSOCKET 0)
if(COR_HAVE_JSON)
  cor_use(WEBSOCKET nettle>=3.4 "no WebSocket entry" wslay)
endif()

# COR_HAVE_VALGRIND 0/1: its header, which lets stacks be registered (src/ctx includes it if it is there). The
# definition is on every command line so that what was compiled before the header came is compiled again.
find_path(COR_VALGRIND_INCLUDE valgrind/valgrind.h)
mark_as_advanced(COR_VALGRIND_INCLUDE)
set(COR_HAVE_VALGRIND 0)
if(COR_VALGRIND_INCLUDE)
  set(COR_HAVE_VALGRIND 1)
endif()

# COR_HAVE_CMOCKA 0/1: unit tests other than selftest_*.c.
set(COR_HAVE_CMOCKA 0)
if(COR_BUILD_TESTS AND PkgConfig_FOUND AND NOT CMAKE_CROSSCOMPILING)
  pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
  if(CMOCKA_FOUND)
    set(COR_HAVE_CMOCKA 1)
  endif()
endif()
if(COR_BUILD_TESTS AND NOT COR_HAVE_CMOCKA)
  message(STATUS "cmocka: not found; only the tests without it")
endif()
