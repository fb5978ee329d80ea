# SPDX-License-Identifier: Apache-2.0
# How every library, program and test of the project is built: one place for warnings and sanitizers.

add_library(umbra_flags INTERFACE)
target_compile_options(umbra_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wconversion
  -Wno-sign-conversion)
if(UMBRA_WERROR)
  target_compile_options(umbra_flags INTERFACE -Werror)
endif()
if(UMBRA_SANITIZE)
  target_compile_options(umbra_flags INTERFACE -fsanitize=${UMBRA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(umbra_flags INTERFACE -fsanitize=${UMBRA_SANITIZE})
endif()
target_include_directories(umbra_flags INTERFACE ${CMAKE_SOURCE_DIR}/lib)

# umbra_library(NAME [PUBLIC targets...] [PRIVATE targets...]): the static library of the folder that calls it.
function(umbra_library name)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(sources)
    add_library(umbra_${name} STATIC ${sources})
    target_link_libraries(umbra_${name} PUBLIC umbra_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  else()
    add_library(umbra_${name} INTERFACE)
    target_link_libraries(umbra_${name} INTERFACE umbra_flags ${ARG_PUBLIC})
  endif()
endfunction()

# umbra_test(NAME LIBS targets...): one Catch2 program of the *.cpp files of the folder that calls it.
function(umbra_test name)
  cmake_parse_arguments(ARG "" "" "LIBS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE ${ARG_LIBS} umbra_test_main)
  catch_discover_tests(test_${name} TEST_PREFIX "${name}: "
    PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 LABELS "${ARG_LABELS}")
endfunction()
