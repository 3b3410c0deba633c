#include "sample/flux_bytes_settings.h"

#include <cmath>

#include "base/check.h"

namespace octavo {
namespace {

constexpr int64_t kMaxSteps = 10000, kMaxText = 1 << 16, kMaxPicture = 1 << 16;

std::vector<double> even_sigmas(int64_t steps) {
  std::vector<double> sigmas;
  const auto n = static_cast<double>(steps);
  for (int64_t k = 0; k < steps; ++k) sigmas.push_back(1 - static_cast<double>(k) / n);
  return sigmas;
}

void read_text(const ModelSource& model, FluxBytesSettings& s) {
  const Config text = model.pipeline().get_object("text");
  text.get_choice("type", {"t5-bytes"});
  text.get_choice("pooled", {"masked-mean"});
  if (!text.get_bool("zero_padding")) text.fail("zero_padding", "true");
  s.text_length = text.get_int("max_length", 1, kMaxText);
  s.text_dim = model.config("text_encoder").get_int("d_model", 1, int64_t{1} << 20);
  const Config dit = model.config("transformer");
  for (const char* key : {"joint_attention_dim", "pooled_projection_dim"}) {
    if (dit.get_int(key, 1, int64_t{1} << 20) != s.text_dim) {
      dit.fail(key, fmt::format("{}, the text encoder's d_model", s.text_dim));
    }
  }
  if (dit.get_bool_or("guidance_embeds", false)) {
    dit.fail("guidance_embeds", "false: this pipeline guides by a second, unconditional run");
  }
}

void read_scheduler(const ModelSource& model, const PipelineOptions& options,
                    FluxBytesSettings& s) {
  const Config scheduler = model.pipeline().get_object("scheduler");
  scheduler.get_choice("type", {"flow-match-euler"});
  const int64_t steps =
      options.steps != 0 ? options.steps : scheduler.get_int("steps", 1, kMaxSteps);
  OCTAVO_CHECK(steps >= 1 && steps <= kMaxSteps, "{} denoising steps asked for, expected 1 to {}",
               steps, kMaxSteps);
  const FlowMatchEulerConfig config = parse_flow_match_euler(scheduler);
  if (config.use_dynamic_shifting) scheduler.fail("use_dynamic_shifting", "false");
  s.steps = static_cast<int>(steps);
  s.schedule = flow_match_schedule(config, even_sigmas(steps));
  s.guidance =
      options.guidance >= 0 ? options.guidance : scheduler.get_double("true_cfg_scale", 0, 1000);
  OCTAVO_CHECK(std::isfinite(s.guidance), "guidance is {}, expected a number from 0 on",
               s.guidance);
}

void read_latents(const ModelSource& model, FluxBytesSettings& s) {
  const Config vae = model.config("vae"), dit = model.config("transformer");
  const auto halvings = vae.get_ints("block_out_channels", 1, 1 << 20).size() - 1;
  if (halvings > 10) vae.fail("block_out_channels", "at most 11 levels");
  const int64_t reduction = int64_t{1} << halvings;
  s.size = model.pipeline().get_int("size", 1, kMaxPicture);
  if (s.size % (2 * reduction) != 0) {
    model.pipeline().fail("size", fmt::format("a multiple of {}: the autoencoder reduces {} times "
                                              "and the transformer takes 2x2 patches",
                                              2 * reduction, reduction));
  }
  s.latent_size = s.size / reduction;
  vae.get_int("out_channels", 3, 3);
  s.latent_channels = vae.get_int("latent_channels", 1, 1 << 20);
  s.scaling_factor = static_cast<float>(vae.get_double("scaling_factor", 1e-6, 1e6));
  s.shift_factor = static_cast<float>(vae.get_double_or("shift_factor", 0, -1e6, 1e6));
  if (dit.get_int("in_channels", 1, 1 << 20) != 4 * s.latent_channels) {
    dit.fail("in_channels", fmt::format("{}: 2x2 patches of the autoencoder's {} latent channels",
                                        4 * s.latent_channels, s.latent_channels));
  }
}

}  // namespace

FluxBytesSettings read_flux_bytes(const ModelSource& model, const PipelineOptions& options) {
  FluxBytesSettings s{};
  read_text(model, s);
  read_scheduler(model, options, s);
  read_latents(model, s);
  return s;
}

}  // namespace octavo
