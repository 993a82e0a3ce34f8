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

# COR_HAVE_JSON 0/1: the broadcast service and its examples.
set(COR_HAVE_JSON 0)
if(COR_WITH_JSON AND PkgConfig_FOUND)
  pkg_check_modules(JSONC QUIET IMPORTED_TARGET json-c)
  find_library(COR_JSON_ARCHIVE NAMES libjson-c.a HINTS ${JSONC_LIBDIR} ${JSONC_LIBRARY_DIRS})
  mark_as_advanced(COR_JSON_ARCHIVE)
  if(JSONC_FOUND AND COR_JSON_ARCHIVE)
    set(COR_HAVE_JSON 1)
  endif()
endif()
if(NOT COR_HAVE_JSON)
  message(NOTICE "json-c: off or not found; no broadcast service")
endif()

# COR_HAVE_ADMIN 0/1: the program's status over HTTP.
set(COR_HAVE_ADMIN 0)
if(COR_WITH_ADMIN AND PkgConfig_FOUND)
  pkg_check_modules(MICROHTTPD QUIET IMPORTED_TARGET libmicrohttpd>=0.9.75)
  if(MICROHTTPD_FOUND)
    set(COR_HAVE_ADMIN 1)
  endif()
endif()
if(NOT COR_HAVE_ADMIN)
  message(NOTICE "libmicrohttpd: off or not found; no status over HTTP")
endif()

# COR_HAVE_SYSTEMD 0/1: what the program hears from systemd, and tells it.
set(COR_HAVE_SYSTEMD 0)
if(COR_WITH_SYSTEMD AND PkgConfig_FOUND)
  pkg_check_modules(SYSTEMD QUIET IMPORTED_TARGET libsystemd>=246)
  if(SYSTEMD_FOUND)
    set(COR_HAVE_SYSTEMD 1)
  endif()
endif()
if(NOT COR_HAVE_SYSTEMD)
  message(NOTICE "libsystemd: off or not found; no socket activation, readiness or watchdog")
endif()

# COR_HAVE_SECCOMP 0/1: the half of `serve --sandbox` that filters system calls.
set(COR_HAVE_SECCOMP 0)
if(COR_WITH_SECCOMP AND PkgConfig_FOUND)
  pkg_check_modules(SECCOMP QUIET IMPORTED_TARGET libseccomp>=2.5.1)
  if(SECCOMP_FOUND)
    set(COR_HAVE_SECCOMP 1)
  endif()
endif()
if(NOT COR_HAVE_SECCOMP)
  message(NOTICE "libseccomp: off or not found; coracle serve --sandbox restricts files, but no system calls")
endif()

# COR_HAVE_URING 0/1: the io_uring poller. It needs liburing.a too, which goes into libcoracle.a.
set(COR_HAVE_URING 0)
if(COR_WITH_URING AND PkgConfig_FOUND)
  pkg_check_modules(URING QUIET IMPORTED_TARGET liburing>=2.3)
  find_library(COR_URING_ARCHIVE NAMES liburing.a HINTS ${URING_LIBDIR} ${URING_LIBRARY_DIRS})
  mark_as_advanced(COR_URING_ARCHIVE)
  if(URING_FOUND AND COR_URING_ARCHIVE)
    set(COR_HAVE_URING 1)
  endif()
endif()
if(NOT COR_HAVE_URING)
  message(NOTICE "liburing (with liburing.a): off or not found; the only poller is epoll")
endif()

# COR_HAVE_CARES 0/1: names of hosts by DNS. It needs libcares.a too, which goes into libcoracle.a.
set(COR_HAVE_CARES 0)
if(COR_WITH_CARES AND PkgConfig_FOUND)
  pkg_check_modules(CARES QUIET IMPORTED_TARGET libcares>=1.18)
  find_library(COR_CARES_ARCHIVE NAMES libcares.a HINTS ${CARES_LIBDIR} ${CARES_LIBRARY_DIRS})
  mark_as_advanced(COR_CARES_ARCHIVE)
  if(CARES_FOUND AND COR_CARES_ARCHIVE)
    set(COR_HAVE_CARES 1)
  endif()
endif()
if(NOT COR_HAVE_CARES)
  message(NOTICE "c-ares (with libcares.a): off or not found; names of hosts come from /etc/hosts only")
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
