#pragma once
#include <filesystem>
#include <string>

namespace octavo::cli {

// Writes an artifact of one transformer of a published model's size ("flux.1-dev") with random
// weights at a precision (a scheme's name, attention's behind a plus), as `octavo quantize` would.
void write_random_artifact(const std::string& model, const std::string& precision,
                           const std::filesystem::path& output);

}  // namespace octavo::cli
