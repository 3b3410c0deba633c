// Whole searches over a few layers of the zoo's model, two steps a picture.
#include "quant/search/search.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/progress.h"
#include "gmock/gmock.h"
#include "io/json.h"
#include "quant/calibrate.h"
#include "quant/explain/explain.h"
#include "quant/quantize_model.h"
#include "quant/zoo.h"

namespace octavo {
namespace {

using test::zoo;
using testing::HasSubstr;

const std::string kLayers = "transformer/transformer_blocks.0.attn.to_*";

class Search : public testing::Test {
 protected:
  void SetUp() override { set_progress_enabled(false); }
  void TearDown() override { set_progress_enabled(true); }

  static std::shared_ptr<const Stats> stats() {
    static const std::shared_ptr<const Stats> made = [] {
      CalibrateOptions options;
      options.prompts = {"ghost", "tiger"};
      options.steps = 2;
      options.components = {"transformer"};
      return std::make_shared<const Stats>(calibrate(*zoo(), options));
    }();
    return made;
  }

  SearchOptions options(double psnr) const {
    SearchOptions o;
    o.promise = Promise{psnr};
    o.candidates = parse_candidates("w=i4/1x64/static/f16, w=i8/1x64/static/f16");
    o.layers = {kLayers};
    o.prompts = {"rocket", "pizza", "cat face", "violin", "dog", "guitar", "snowman", "airplane"};
    o.stats = stats();
    o.searched = 2;
    o.verified = 4;
    o.run.steps = 2;
    o.run.batch = 4;
    o.state = folder_.file("state.json");
    return o;
  }

  test::TempFolder folder_;
};

TEST_F(Search, KeepsAPromiseForFewerBytesThanTheBest) {
  SearchOptions o = options(40);
  o.state.clear();
  // What all in four bits reaches says what can be asked for.
  o.promise = Promise{1};
  const SearchResult cheapest = search(zoo(), o);
  ASSERT_TRUE(cheapest.recipe.has_value());
  const Round& four = cheapest.rounds[static_cast<size_t>(cheapest.best)];
  EXPECT_NEAR(four.bits, 4.25, 1e-9);
  // 24 dB where errors are small
  EXPECT_GT(cheapest.pareto.back().psnr, cheapest.pareto.front().psnr + 15);
  o.promise = Promise{four.verification.psnr.low + 8};
  const SearchResult found = search(zoo(), o);
  ASSERT_TRUE(found.recipe.has_value()) << explain_failure(o, found);
  const Round& best = found.rounds[static_cast<size_t>(found.best)];
  EXPECT_GE(best.verification.psnr.low, o.promise->psnr);
  EXPECT_GT(best.bits, 4.25);
  EXPECT_LT(best.bits, 8.25);
  for (const std::string& prompt : best.verification.prompts) EXPECT_NE(prompt, "rocket");
  EXPECT_THAT(summary(o, found), HasSubstr("kept"));
  EXPECT_THAT(to_html("zoo", o, found), HasSubstr("</html>"));
  EXPECT_FALSE(cover(*found.recipe, *zoo()).rows.empty());
}

TEST_F(Search, SameAgainAndFromItsState) {
  const SearchOptions o = options(45);
  const SearchResult first = search(zoo(), o);
  EXPECT_EQ(first.resumed, 0u);
  const SearchResult again = search(zoo(), o);  // nothing is measured anew
  EXPECT_GT(again.resumed, 8u);
  EXPECT_EQ(summary(o, again), summary(o, first));
  SearchOptions fresh = o;
  fresh.state.clear();
  EXPECT_EQ(summary(fresh, search(zoo(), fresh)), summary(o, first));
}

// Cut off after any number of measurements, it ends where it would have.
TEST_F(Search, GoesOnFromAnyPointOfItsState) {
  const SearchOptions o = options(45);
  const std::string whole = summary(o, search(zoo(), o));
  const std::string state = read_file(o.state);
  const size_t at = state.find("\"pictures with all layers");
  ASSERT_NE(at, std::string::npos);
  // Without the measurements of whole recipes.
  Json json = parse_json(state, "state");
  Json kept = Json::object();
  for (const auto& [name, values] : json["measurements"].items())
    if (name.starts_with("layer ")) kept[name] = values;
  ASSERT_FALSE(kept.empty());
  json["measurements"] = kept;
  write_file(o.state, json.dump());
  EXPECT_EQ(summary(o, search(zoo(), o)), whole);
}

TEST_F(Search, SaysWhichLayersMakeItImpossible) {
  const SearchOptions o = options(119);
  const SearchResult found = search(zoo(), o);
  EXPECT_FALSE(found.recipe.has_value());
  const std::string why = explain_failure(o, found);
  for (const SearchedLayer& layer : found.layers) EXPECT_THAT(why, HasSubstr(layer.name()));
  EXPECT_THAT(why, HasSubstr("reached"));
  EXPECT_THAT(to_html("zoo", o, found), HasSubstr("cannot be kept"));
}

TEST_F(Search, ExactCandidatesNeedNoRuns) {
  SearchOptions o = options(119);
  o.candidates = parse_candidates("w=i4/1x64/static/f16, keep");
  const SearchResult found = search(zoo(), o);
  ASSERT_TRUE(found.recipe.has_value());
  EXPECT_EQ(found.rounds[static_cast<size_t>(found.best)].verification.psnr.low, 200);
}

TEST_F(Search, FastestKernels) {
  SearchOptions o = options(0);
  o.promise.reset();
  o.objective = Objective::latency;
  o.candidates = parse_candidates("keep, int8dq");
  o.stats.reset();
  const SearchResult found = search(zoo(), o);
  ASSERT_TRUE(found.recipe.has_value());
  EXPECT_GT(found.step_before, 0);
  EXPECT_GT(found.step_after, 0);
  for (size_t l = 0; l < found.layers.size(); ++l) {
    const auto& times = found.latency.layers[l];
    ASSERT_EQ(times.size(), 2u);
    EXPECT_GT(times[0].seconds, 0);
    EXPECT_GT(times[1].seconds, 0);
    EXPECT_LE(times[found.candidates[l]].seconds, std::min(times[0].seconds, times[1].seconds));
  }
  EXPECT_EQ(search(zoo(), o).recipe->text(), found.recipe->text());  // from the state
  EXPECT_THAT(to_html("zoo", o, found), HasSubstr("µs"));
}

TEST_F(Search, WrongOptionsAreNamed) {
  const auto message = [](const SearchOptions& o) -> std::string {
    try {
      search(zoo(), o);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing thrown";
    return {};
  };
  SearchOptions o = options(40);
  o.stats.reset();
  EXPECT_THAT(message(o), HasSubstr("octavo calibrate"));
  o = options(40);
  auto other = std::make_shared<Stats>(*stats());
  other->model_hash = "0123";
  o.stats = other;
  EXPECT_THAT(message(o), HasSubstr("0123"));
  o = options(40);
  o.promise.reset();
  EXPECT_THAT(message(o), HasSubstr("--keep"));
  o = options(40);
  o.prompts.resize(5);
  EXPECT_THAT(message(o), HasSubstr("5 different prompts"));
}

class ExplainArtifact : public Search {};

TEST_F(ExplainArtifact, SaysWhatEachLayerLostAndWhatWordsBought) {
  const std::string file = folder_.file("a.safetensors");
  quantize_model(zoo(),
                 Recipe::parse(kLayers + " w=i4/1x64/static/f16 round=gptq clip=mse\n"
                                         "transformer/transformer_blocks.0.ff.net.2 int8\n",
                               "test"),
                 stats().get(), file);
  ExplainOptions o;
  o.artifact = file;
  const Explanation bare = explain(o);
  ASSERT_EQ(bare.layers.size(), 6u);
  EXPECT_EQ(bare.share, ShareKind::none);
  EXPECT_FALSE(bare.layers[0].weight_sqnr.has_value());
  o.reference = zoo();
  o.stats = stats();
  const Explanation full = explain(o);
  EXPECT_EQ(full.share, ShareKind::estimated);
  double sum = 0;
  for (const ExplainedLayer& layer : full.layers) {
    SCOPED_TRACE(layer.name);
    sum += layer.share.value();
    EXPECT_GT(layer.weight_sqnr.value(), 10);
    EXPECT_GT(layer.local->relative(), 0);
    EXPECT_EQ(layer.steps.size(), 2u);
    if (layer.words.empty()) continue;
    ASSERT_EQ(layer.gains.size(), 2u);
    EXPECT_THAT(layer.gains[0].word, HasSubstr("round=gptq"));
    EXPECT_GT(layer.gains[0].db(), 0);  // on inputs that it mostly did not see
    EXPECT_NEAR(layer.gains[0].with / layer.local->error, 1, 1e-6);
  }
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_THAT(summary(full), HasSubstr("estimated"));
  EXPECT_THAT(to_html(full), HasSubstr("largest the scale holds"));
}

TEST_F(ExplainArtifact, MeasuresShares) {
  const std::string file = folder_.file("a.safetensors");
  quantize_model(zoo(), Recipe::parse(kLayers + " w=i4/1x64/static/f16\n", "test"), nullptr, file);
  ExplainOptions o;
  o.artifact = file;
  o.reference = zoo();
  o.prompts = {"rocket", "pizza"};
  o.run.steps = 2;
  const Explanation e = explain(o);
  EXPECT_EQ(e.share, ShareKind::measured);
  double sum = 0;
  for (const ExplainedLayer& layer : e.layers) sum += layer.share.value();
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_NEAR(e.psnr, e.psnr_added, 3);  // errors add, roughly
  EXPECT_GT(e.layers.front().share.value(), e.layers.back().share.value());
}

TEST_F(ExplainArtifact, OtherModelsAndStatisticsAreRefused) {
  const std::string file = folder_.file("a.safetensors");
  quantize_model(zoo(), Recipe::parse(kLayers + " int8wo\n", "test"), nullptr, file);
  ExplainOptions o;
  o.artifact = file;
  const auto message = [&]() -> std::string {
    try {
      explain(o);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing thrown";
    return {};
  };
  o.reference = open_model(test::changed_zoo(folder_.path(), [](test::Tensors& tensors) {
    tensors.begin()->second = tensors.begin()->second.clone();
    static_cast<char*>(tensors.begin()->second.mutable_data())[0] ^= 1;
  }));
  EXPECT_THAT(message(), HasSubstr("made from"));
  o.reference = nullptr;
  auto other = std::make_shared<Stats>(*stats());
  other->model_hash = "0123";
  o.stats = other;
  EXPECT_THAT(message(), HasSubstr("0123"));
  o.stats = nullptr;
  o.prompts = {"a"};
  EXPECT_THAT(message(), HasSubstr("--reference"));
  o.prompts.clear();
  o.artifact = test::kZoo;
  EXPECT_THAT(message(), HasSubstr("model folder"));
}

}  // namespace
}  // namespace octavo
