#pragma once
// Models as folders. Private to this floor.
#include <filesystem>
#include <memory>

#include "models/model_source.h"

namespace octavo {

// A pipeline: `manifest` is its pipeline.json or model_index.json.
std::shared_ptr<const ModelSource> open_pipeline_folder(const std::filesystem::path& folder,
                                                        const std::filesystem::path& manifest);
// One component as a model whose only component bears its family's role.
std::shared_ptr<const ModelSource> open_single_component(const std::filesystem::path& path);

}  // namespace octavo
