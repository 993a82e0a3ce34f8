# SPDX-License-Identifier: MIT
# How tests are registered. A C test is one file, one binary, and one ctest entry per number of workers:
#   <label>.<folder>.<name>.w1 .w2 .w8   run with COR_WORKERS=1, 2, 8 and COR_POLLER=epoll
#   <label>.<folder>.<name>.u.w1 .u.w2 .u.w8   those about connections and waiting once more, with COR_POLLER=io_uring
#                                              (.u.w8 not under a sanitizer)
# Lines at the top of a test file change that, each a comment of its own:
#   /* test: workers=1,2 timeout=240 serial no-valgrind */   counts, seconds, not beside other tests, not under valgrind
#   ... no-uring: not over io_uring
#   ... simulated: also on the simulated kernel, with three seeds: <name>.sim1 .sim2 .sim3
#                                              (only .sim1 under a sanitizer)
#   /* sources: cmd/coracle/escape.c */                        more sources, relative to the repository's root
#   /* link: -Wl,--wrap=malloc */                            more linker arguments
# A Python test may carry  # test: timeout=240 serial
# A test that cannot run here exits with 77 and counts as skipped.

set(COR_TEST_ENVIRONMENT
  COR_POLLER=epoll
  COR_RESOLV_CONF= # no test asks the name servers of this host
  "COR_SANITIZE=${COR_SANITIZE}"
  "ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=0"
  "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
  "TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1:history_size=4")
if(CMAKE_CROSSCOMPILING)
  list(APPEND COR_TEST_ENVIRONMENT COR_EMULATED=1)
endif()
# Every C test binary and whether valgrind may run it, for tools/valgrind.sh.
set(COR_VALGRIND_LIST ${PROJECT_BINARY_DIR}/valgrind-tests.txt)

# Reads the value of `word=value` in the file's "test:" lines into `out`, or `fallback`.
function(cor_test_word out file word fallback)
  file(STRINGS ${file} lines REGEX "^(/\\*|#) test: ")
  set(value "${fallback}")
  foreach(line IN LISTS lines)
    if(line MATCHES "[ ]${word}=([^ ]+)")
      set(value "${CMAKE_MATCH_1}")
    elseif(line MATCHES "[ ]${word}( |$)")
      set(value ON)
    endif()
  endforeach()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

# Reads the words of the file's "/* <key>: ... */" lines into the list `out`.
function(cor_test_list out file key)
  file(STRINGS ${file} lines REGEX "^/\\* ${key}: ")
  set(words "")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^/\\* ${key}: *([^*]*[^* ]) *\\*/.*" "\\1" text "${line}")
    separate_arguments(parts UNIX_COMMAND "${text}")
    list(APPEND words ${parts})
  endforeach()
  set(${out} "${words}" PARENT_SCOPE)
endfunction()

# Seconds allowed: sanitizers and emulation slow a test down.
function(cor_test_timeout out seconds)
  if(COR_SANITIZE OR CMAKE_CROSSCOMPILING)
    math(EXPR seconds "${seconds} * 2")
  endif()
  set(${out} ${seconds} PARENT_SCOPE)
endfunction()

function(cor_test_properties test label seconds serial environment)
  set_tests_properties(${test} PROPERTIES
    LABELS ${label}
    TIMEOUT ${seconds}
    RUN_SERIAL ${serial}
    SKIP_RETURN_CODE 77
    ENVIRONMENT "${environment}")
endfunction()

# cor_add_c_test(<target> <test name> <source> LABEL <label> TIMEOUT <seconds> LINK <libraries...>)
function(cor_add_c_test target name source)
  cmake_parse_arguments(PARSE_ARGV 3 arg "" "LABEL;TIMEOUT" "LINK")
  cor_test_list(more_sources ${source} sources)
  cor_test_list(more_link ${source} link)
  cor_test_word(workers ${source} workers "1,2,8")
  cor_test_word(seconds ${source} timeout ${arg_TIMEOUT})
  cor_test_word(serial ${source} serial OFF)
  cor_test_word(no_valgrind ${source} no-valgrind OFF)
  cor_test_timeout(seconds ${seconds})
  list(TRANSFORM more_sources PREPEND ${PROJECT_SOURCE_DIR}/)

  add_executable(${target} ${source} ${more_sources})
  set_target_properties(${target} PROPERTIES
    ENABLE_EXPORTS ON
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  # Only the tests of cmd/ may see the program's folder.
  if(more_sources)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmd/coracle)
    target_include_directories(${target} SYSTEM PRIVATE ${NATS_INCLUDE_DIRS})
    target_compile_definitions(${target} PRIVATE COR_HAVE_NATS=${COR_HAVE_NATS})
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE COR_HAVE_JSON=${COR_HAVE_JSON} COR_HAVE_URING=${COR_HAVE_URING}
    COR_HAVE_CARES=${COR_HAVE_CARES} COR_HAVE_WEBSOCKET=${COR_HAVE_WEBSOCKET})
  target_link_libraries(${target} PRIVATE ${arg_LINK} ${more_link})

  string(REPLACE "," ";" workers "${workers}")
  # With one worker all tasks share a thread, and TSan has nothing to compare them with. What other threads do to it
  # (ticker, blocking pool, foreign threads, signal handlers) the unit tests show with one worker over epoll, these with
  # several. Simulated runs and the model of idle.c have no second thread at all.
  set(uring_workers 1 2)
  if(NOT COR_SANITIZE) # where a thread costs so much, eight of them over both pollers cost minutes
    list(APPEND uring_workers 8)
  endif()
  if(COR_SANITIZE STREQUAL "thread")
    if(name MATCHES "^unit\\.(sim\\.|sched\\.idle$|sched\\.sim$)")
      return()
    endif()
    if(NOT workers STREQUAL "1")
      list(REMOVE_ITEM uring_workers 1)
      if(arg_LABEL MATCHES "^(net|stress|contract)$")
        list(REMOVE_ITEM workers 1)
      endif()
    endif()
  endif()
  foreach(count IN LISTS workers)
    add_test(NAME ${name}.w${count} COMMAND ${target})
    cor_test_properties(${name}.w${count} ${arg_LABEL} ${seconds} ${serial}
      "${COR_TEST_ENVIRONMENT};COR_WORKERS=${count}")
  endforeach()
  cor_test_word(no_uring ${source} no-uring OFF)
  if(COR_HAVE_URING AND NOT no_uring AND name MATCHES "^(net|contract|stress|unit\\.sched)\\.")
    foreach(count IN LISTS uring_workers)
      if(count IN_LIST workers)
        add_test(NAME ${name}.u.w${count} COMMAND ${target})
        cor_test_properties(${name}.u.w${count} ${arg_LABEL} ${seconds} ${serial}
          "${COR_TEST_ENVIRONMENT};COR_WORKERS=${count};COR_POLLER=io_uring")
      endif()
    endforeach()
  endif()
  cor_test_word(simulated ${source} simulated OFF)
  if(simulated AND NOT COR_SANITIZE STREQUAL "thread") # one thread runs it all
    set(seeds 1 2 3)
    if(COR_SANITIZE) # it looks at memory, which is the same for each
      set(seeds 1)
    endif()
    foreach(seed IN LISTS seeds)
      add_test(NAME ${name}.sim${seed} COMMAND ${target})
      cor_test_properties(${name}.sim${seed} ${arg_LABEL} ${seconds} ${serial}
        "${COR_TEST_ENVIRONMENT};COR_TEST_SIM=${seed}")
    endforeach()
  endif()
  if(arg_LABEL STREQUAL "unit" AND NOT no_valgrind AND "1" IN_LIST workers)
    set_property(GLOBAL APPEND_STRING PROPERTY COR_VALGRIND_TESTS "${PROJECT_BINARY_DIR}/tests/${target}\n")
  endif()
endfunction()

# The libraries of a cmocka test.
set(COR_TEST_LIBRARIES coracle_testsupport coracle_private)
if(COR_HAVE_JSON)
  list(APPEND COR_TEST_LIBRARIES PkgConfig::JSON)
endif()
if(COR_HAVE_WEBSOCKET)
  list(APPEND COR_TEST_LIBRARIES ${COR_WEBSOCKET_LIBRARY} PkgConfig::WEBSOCKET)
endif()
if(COR_HAVE_CMOCKA)
  list(APPEND COR_TEST_LIBRARIES PkgConfig::CMOCKA)
endif()

# cor_add_c_tests(<label> <seconds>): every test_*.c of the current folder.
function(cor_add_c_tests label seconds)
  file(GLOB sources CONFIGURE_DEPENDS test_*.c)
  if(sources AND NOT COR_HAVE_CMOCKA)
    cor_add_missing(${label} cmocka)
    return()
  endif()
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    cor_add_c_test(test_${label}_${name} ${label}.${name} ${source}
      LABEL ${label} TIMEOUT ${seconds} LINK ${COR_TEST_LIBRARIES})
  endforeach()
endfunction()

# Shows in ctest's summary that a whole group is absent, and why.
function(cor_add_missing label what)
  add_test(NAME ${label}.all_need_${what} COMMAND ${CMAKE_COMMAND} -E true)
  set_tests_properties(${label}.all_need_${what} PROPERTIES DISABLED ON LABELS ${label})
endfunction()
