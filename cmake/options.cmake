option(OCTAVO_BUILD_TESTS "Build the tests" ON)
option(OCTAVO_BUILD_FUZZERS "Build the libFuzzer targets (needs clang)" OFF)
set(OCTAVO_SANITIZE "" CACHE STRING "Sanitizers for all targets: address,undefined or thread")
set(OCTAVO_CUDA AUTO CACHE STRING "CUDA kernels: ON, OFF or AUTO (where nvcc is found)")
set(OCTAVO_CUDA_ARCHITECTURES 80-real 89-real 90a-real 100a-real CACHE STRING
    "GPU architectures to compile for, as CMAKE_CUDA_ARCHITECTURES takes them")
set(OCTAVO_ONEDNN_DIR "${PROJECT_SOURCE_DIR}/build/deps/onednn" CACHE PATH
    "Folder with oneDNN's include/ and lib/ (scripts/deps puts it there)")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# -ffp-contract=off: the same source gives the same bits on every machine; kernels that want fused
# multiply-adds ask for them by name.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Werror;-ffp-contract=off>")
if(OCTAVO_SANITIZE)
  add_compile_options(-fsanitize=${OCTAVO_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OCTAVO_SANITIZE})
endif()

set(OCTAVO_CUDA_NEEDED 12.8)  # sm_100, and the scale modes of cuBLASLt
if(OCTAVO_CUDA STREQUAL AUTO)
  find_package(CUDAToolkit ${OCTAVO_CUDA_NEEDED} QUIET)
  include(CheckLanguage)
  check_language(CUDA)
  set(OCTAVO_CUDA OFF)
  if(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER)
    set(OCTAVO_CUDA ON)
  endif()
  message(STATUS "CUDA kernels: ${OCTAVO_CUDA} (ON needs nvcc ${OCTAVO_CUDA_NEEDED} or later)")
endif()
if(OCTAVO_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${OCTAVO_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  find_package(CUDAToolkit ${OCTAVO_CUDA_NEEDED} REQUIRED)
  # CMake 3.25 does not know that nvcc 12 and later have C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O2")
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  # --fmad=false is to the device what -ffp-contract=off is to the host.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;--expt-relaxed-constexpr;--extended-lambda;-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Werror>")
endif()
