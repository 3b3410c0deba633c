# Libraries from Debian packages and, for oneDNN, the pinned wheel that scripts/deps unpacks.
# docs/dependencies.md says what each is for.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PNG REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(hwy CONFIG QUIET)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(LIBZIP REQUIRED IMPORTED_TARGET libzip)
if(NOT hwy_FOUND)
  pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
  add_library(hwy::hwy ALIAS PkgConfig::HWY)
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)
find_library(ONEDNN_LIBRARY dnnl PATHS ${OCTAVO_ONEDNN_DIR}/lib NO_DEFAULT_PATH REQUIRED)
add_library(onednn SHARED IMPORTED)
set_target_properties(onednn PROPERTIES
  IMPORTED_LOCATION ${ONEDNN_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${OCTAVO_ONEDNN_DIR}/include)
