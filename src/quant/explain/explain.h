#pragma once
// Why a quantized model is as good as it is, layer by layer.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "judge/picture_error.h"
#include "quant/layer_error.h"
#include "quant/recipe.h"
#include "quant/stats.h"

namespace octavo {

struct ExplainOptions {
  std::filesystem::path artifact;
  std::shared_ptr<const ModelSource> reference;  // the model it was made from; may be empty
  std::shared_ptr<const Stats> stats;            // may be empty
  std::vector<std::string> prompts;              // layers' parts in the error are measured on these
  bool words = true;  // what each word bought: solves every layer again without it
  PictureRun run;
  std::filesystem::path state;  // measurements are kept here and gone on from; empty: nowhere
};

struct OutlierChannel {
  int64_t channel = 0;
  double ratio = 0;  // its absmax over the channels' median
};

// What a word of the recipe is worth to a layer.
struct WordGain {
  std::string word;        // as in a recipe
  double without = 0;      // local error of the layer solved again without it
  double with = 0;         // and with it
  std::string impossible;  // why it cannot be left out; empty when it can
  double db() const;       // by how much the word lowered the error
};

struct StepRange {
  int step = 0;
  double absmax = 0;   // of the input as it comes
  double largest = 0;  // that the static scale of this step can hold, of the input as it is
                       // rounded; 0: no static scale
};

struct ExplainedLayer {
  std::string name;                      // "component/layer"
  std::string scheme, words;             // texts
  double parameters = 0, bits = 0;       // stored bits a weight, but for the bias
  std::optional<double> weight_sqnr;     // with a reference, dB
  std::optional<LayerError> local;       // with reference and statistics
  std::optional<double> share;           // of the final error
  std::optional<double> alone_psnr;      // dB with this layer alone quantized; with prompts
  int64_t channels = 0;                  // of the input; with statistics
  std::vector<OutlierChannel> outliers;  // the largest first
  std::vector<WordGain> gains;
  std::vector<StepRange> steps;
};

enum class ShareKind : uint8_t { none, measured, estimated };

struct Explanation {
  std::string artifact, recipe, tool_version;
  std::vector<ExplainedLayer> layers;  // the largest share first, else by name
  std::vector<std::pair<std::string, std::string>> attentions;  // "component/module", scheme
  ShareKind share = ShareKind::none;
  size_t pictures = 0;              // that shares were measured on
  double psnr = 0, psnr_added = 0;  // dB: of the artifact, and of the layers' errors added up
  bool other_stats = false;         // not the statistics that it was made with
};

// Error{invalid_argument} when the reference is not the model that the artifact was made from, or
// the statistics are of another model; Error{bad_file} when the artifact is none.
Explanation explain(const ExplainOptions& options);
std::string summary(const Explanation& explanation);
std::string to_html(const Explanation& explanation);  // self-contained

// Channels whose absmax is more than 8 times the median of all channels', the largest first.
std::vector<OutlierChannel> outlier_channels(const std::vector<float>& absmax);

}  // namespace octavo
