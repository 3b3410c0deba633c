# A floor of the house (DESIGN: a file includes only its own floor and those above it in the list).
# octavo_floor(NAME SOURCES ... DEPS ...): static library octavo_NAME.
function(octavo_floor name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(octavo_${name} STATIC ${ARG_SOURCES})
  target_include_directories(octavo_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                                                   ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(octavo_${name} PUBLIC ${ARG_DEPS})
endfunction()

# One test program a floor: octavo_test(NAME SOURCES ... DEPS ...).
function(octavo_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE
    OCTAVO_SOURCE_DIR="${PROJECT_SOURCE_DIR}" OCTAVO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${name} COMMAND test_${name})
endfunction()
