#pragma once
// The one place where the version is written; CMake and every artefact read it from here.
#define OCTAVO_VERSION_MAJOR 0
#define OCTAVO_VERSION_MINOR 1
#define OCTAVO_VERSION_PATCH 0
#define OCTAVO_VERSION "0.1.0"
