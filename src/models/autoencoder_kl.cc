// AutoencoderKL (diffusers models/autoencoders/{autoencoder_kl,vae}.py): residual blocks of group
// norm, SiLU, convolution; one attention with a single head in the middle; halving by a strided
// convolution padded at the bottom and right only, doubling by nearest neighbours.
//   encode: x [B, C, H, W] picture -> latent_dist.parameters (mean and log variance)
//   decode: z [B, L, H, W] latent  -> sample
#include "models/autoencoder_kl.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "models/builder.h"

namespace octavo {
namespace {

constexpr double kEps = 1e-6;
constexpr double kMinLogvar = -30, kMaxLogvar = 20;  // DiagonalGaussianDistribution
constexpr int64_t kMaxChannels = 1 << 16;

struct KlConfig {
  int64_t in_channels, out_channels, latent_channels, groups, layers;
  std::vector<int64_t> channels;  // block_out_channels, from the picture inwards
  bool quant_conv, post_quant_conv, attention;

  static KlConfig read(const Config& config);
};

class KlBuilder {
 public:
  KlBuilder(const KlConfig& config, std::string_view method, const WeightStore* weights)
      : c_(config), b_("AutoencoderKL", method, weights) {}

  Graph encode() {
    const ValueId x =
        b_.input("x", DType::f32, {batch_, c_.in_channels, height_, width_}, Rate::step);
    const int64_t moments = 2 * c_.latent_channels;
    ValueId h = encoder(x);
    if (c_.quant_conv) h = pointwise(h, "quant_conv", moments, moments);
    b_.output("latent_dist.parameters", h);
    const ValueId logvar = b_.slice(h, 1, c_.latent_channels, moments, "latent_dist.raw_logvar");
    b_.output("latent_dist.mean", b_.slice(h, 1, 0, c_.latent_channels, "latent_dist.mean"));
    b_.output("latent_dist.logvar",
              b_.op(Op::clamp, {logvar}, {{"min", kMinLogvar}, {"max", kMaxLogvar}},
                    "latent_dist.logvar"));
    return b_.take();
  }

  Graph decode() {
    ValueId z =
        b_.input("z", DType::f32, {batch_, c_.latent_channels, height_, width_}, Rate::step);
    if (c_.post_quant_conv) {
      z = pointwise(z, "post_quant_conv", c_.latent_channels, c_.latent_channels);
    }
    b_.output("sample", decoder(z));
    return b_.take();
  }

 private:
  ValueId encoder(ValueId x) {
    const Builder::Scope scope = b_.scope("encoder");
    ValueId h = b_.conv2d(x, "conv_in", {c_.in_channels, c_.channels.front()});
    int64_t in = c_.channels.front();
    for (size_t i = 0; i < c_.channels.size(); ++i) {
      h = down_block(h, i, in, c_.channels[i]);
      in = c_.channels[i];
    }
    return head(mid_block(h, in), in, 2 * c_.latent_channels);
  }

  ValueId decoder(ValueId z) {
    const Builder::Scope scope = b_.scope("decoder");
    int64_t in = c_.channels.back();
    ValueId h = mid_block(b_.conv2d(z, "conv_in", {c_.latent_channels, in}), in);
    for (size_t i = 0; i < c_.channels.size(); ++i) {
      const int64_t out = c_.channels[c_.channels.size() - 1 - i];
      h = up_block(h, i, in, out);
      in = out;
    }
    return head(h, in, c_.out_channels);
  }

  // Norm, SiLU and the last convolution of encoder and decoder.
  ValueId head(ValueId x, int64_t in, int64_t out) {
    const ValueId h = b_.silu(b_.group_norm(x, "conv_norm_out", in, c_.groups, kEps), "conv_act");
    return b_.conv2d(h, "conv_out", {in, out});
  }

  ValueId down_block(ValueId x, size_t i, int64_t in, int64_t out) {
    const Builder::Scope scope = b_.scope("down_blocks." + std::to_string(i));
    x = resnets(x, c_.layers, in, out);
    if (i + 1 < c_.channels.size()) {
      // Zeros below and to the right: half the size, rounded down.
      x = b_.conv2d(x, "downsamplers.0.conv",
                    {.in = out, .out = out, .stride = 2, .pads = {0, 0, 1, 1}});
    }
    b_.tap(x, "");
    return x;
  }

  ValueId up_block(ValueId x, size_t i, int64_t in, int64_t out) {
    const Builder::Scope scope = b_.scope("up_blocks." + std::to_string(i));
    x = resnets(x, c_.layers + 1, in, out);
    if (i + 1 < c_.channels.size()) {
      const ValueId large = b_.op(Op::upsample_nearest, {x}, {{"factor", int64_t{2}}}, "enlarged");
      x = b_.conv2d(large, "upsamplers.0.conv", {out, out});
    }
    b_.tap(x, "");
    return x;
  }

  ValueId resnets(ValueId x, int64_t count, int64_t in, int64_t out) {
    for (int64_t j = 0; j < count; ++j) x = resnet(x, j, j == 0 ? in : out, out);
    return x;
  }

  // x + conv2(silu(norm2(conv1(silu(norm1(x)))))), x through a 1x1 convolution where widths differ.
  ValueId resnet(ValueId x, int64_t j, int64_t in, int64_t out) {
    const Builder::Scope scope = b_.scope("resnets." + std::to_string(j));
    ValueId h = b_.silu(b_.group_norm(x, "norm1", in, c_.groups, kEps), "act1");
    h = b_.conv2d(h, "conv1", {in, out});
    h = b_.silu(b_.group_norm(h, "norm2", out, c_.groups, kEps), "act2");
    h = b_.conv2d(h, "conv2", {out, out});
    if (in != out) x = pointwise(x, "conv_shortcut", in, out);
    return b_.add(x, h, "");
  }

  ValueId pointwise(ValueId x, std::string_view name, int64_t in, int64_t out) {
    return b_.conv2d(x, name, {.in = in, .out = out, .kernel = 1, .pads = {0, 0, 0, 0}});
  }

  ValueId mid_block(ValueId x, int64_t channels) {
    const Builder::Scope scope = b_.scope("mid_block");
    x = resnet(x, 0, channels, channels);
    if (c_.attention) x = attention(x, channels);
    x = resnet(x, 1, channels, channels);
    b_.tap(x, "");
    return x;
  }

  // Over all positions, one head as wide as there are channels.
  ValueId attention(ValueId x, int64_t channels) {
    const Builder::Scope scope = b_.scope("attentions.0");
    const SymShape whole = b_.shape(x);
    const Dim positions = whole[2] * whole[3];
    const ValueId normed = b_.group_norm(x, "group_norm", channels, c_.groups, kEps);
    const ValueId flat = b_.reshape(normed, {batch_, channels, positions}, "positions_last");
    const std::vector<int64_t> swap{0, 2, 1};
    const ValueId tokens = b_.op(Op::transpose, {flat}, {{"perm", swap}}, "tokens");
    const auto project = [&](const char* name) {
      const ValueId y = b_.linear(tokens, name, channels, channels);
      return b_.reshape(y, {batch_, positions, 1, channels}, std::string(name) + ".heads");
    };
    const ValueId q = project("to_q"), k = project("to_k"), v = project("to_v");
    const double scale = 1 / std::sqrt(static_cast<double>(channels));
    const ValueId y = b_.attention(q, k, v, scale);
    const ValueId out = b_.linear(b_.reshape(y, {batch_, positions, channels}, "attention.flat"),
                                  "to_out.0", channels, channels);
    const ValueId back = b_.op(Op::transpose, {out}, {{"perm", swap}}, "channels_first");
    return b_.add(x, b_.reshape(back, whole, "picture"), "");
  }

  const Dim batch_ = Dim::symbol("B"), height_ = Dim::symbol("H"), width_ = Dim::symbol("W");
  KlConfig c_;
  Builder b_;
};

// All blocks of one kind; the others (attention in every block) are not built here.
void check_blocks(const Config& config, const std::string& key, const char* kind, size_t count) {
  const std::vector<std::string> kinds = config.get_strings(key);
  if (kinds.size() != count ||
      std::count(kinds.begin(), kinds.end(), kind) != static_cast<std::ptrdiff_t>(count)) {
    config.fail(key, fmt::format("{} times \"{}\", as many as block_out_channels has numbers",
                                 count, kind));
  }
}

KlConfig KlConfig::read(const Config& config) {
  KlConfig c;
  c.in_channels = config.get_int("in_channels", 1, kMaxChannels);
  c.out_channels = config.get_int("out_channels", 1, kMaxChannels);
  c.latent_channels = config.get_int("latent_channels", 1, kMaxChannels);
  c.channels = config.get_ints("block_out_channels", 1, kMaxChannels);
  c.groups = config.get_int("norm_num_groups", 1, kMaxChannels);
  c.layers = config.get_int("layers_per_block", 1, 64);
  c.quant_conv = config.get_bool_or("use_quant_conv", true);
  c.post_quant_conv = config.get_bool_or("use_post_quant_conv", true);
  c.attention = config.get_bool_or("mid_block_add_attention", true);
  for (int64_t channels : c.channels) {
    if (channels % c.groups != 0) {
      config.fail("block_out_channels", fmt::format("multiples of norm_num_groups = {}", c.groups));
    }
  }
  if (c.channels.size() > 16) config.fail("block_out_channels", "at most 16 numbers");
  check_blocks(config, "down_block_types", "DownEncoderBlock2D", c.channels.size());
  check_blocks(config, "up_block_types", "UpDecoderBlock2D", c.channels.size());
  if (config.has("act_fn")) config.get_choice("act_fn", {"silu", "swish"});
  return c;
}

}  // namespace

Graph build_autoencoder_kl(const Config& config, const WeightStore* weights,
                           std::string_view method) {
  KlBuilder builder(KlConfig::read(config), method, weights);
  return method == "encode" ? builder.encode() : builder.decode();
}

}  // namespace octavo
