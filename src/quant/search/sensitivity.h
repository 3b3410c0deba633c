#pragma once
// What each candidate costs each layer, and what that costs the picture. The estimator:
//   e(l, c)   error of layer l's own output under candidate c, on the recorded input rows
//             (layer_error.h): solving and a few products, no run of the model
//   m(l, i)   squared error of decoded picture i with layer l alone under its reference candidate:
//             one run of the model a layer
//   predicted error of picture i  =  sum over l of  m(l, i) e(l, c_l) / e(l, reference)
// It assumes that layers' errors are independent, so that their energies add, and that a layer's
// error passes on by a factor of its own, whatever the candidate. `together` measures the first:
// all layers under their reference candidates at once.
#include <memory>
#include <vector>

#include "judge/picture_error.h"
#include "quant/search/candidates.h"
#include "quant/search/measurements.h"
#include "quant/stats.h"

namespace octavo {

struct CandidateFigures {
  double error = 0;        // e(l, c)
  double relative = 0;     // of the output's energy
  double weight_sqnr = 0;  // dB
  double bytes = 0;        // stored, but for the bias: codes, scales, and what else the words bring
};

struct LayerSensitivity {
  std::vector<CandidateFigures> figures;  // by SearchedLayer::possible
  size_t reference = 0;                   // index in them: the one that was measured
  std::vector<double> picture_errors;     // m(l, i); all 0 when every candidate is exact
};

struct Sensitivity {
  std::vector<LayerSensitivity> layers;
  std::vector<double> together;  // picture errors, measured
  // Error of each picture that the estimator predicts for a choice of candidates' indices.
  std::vector<double> predict(const std::vector<SearchedLayer>& searched,
                              const std::vector<size_t>& choice) const;
  // One number for the layer's part in it: the mean over the pictures of its part in the picture's
  // error, where every layer is under its reference candidate.
  std::vector<double> shares() const;
  std::vector<size_t> references(const std::vector<SearchedLayer>& searched) const;
};

struct SensitivityProblem {
  std::shared_ptr<const ModelSource> model;
  std::shared_ptr<const Stats> stats;
  const std::vector<SearchedLayer>& layers;
  const std::vector<Candidate>& candidates;
};

// e(l, c) and bytes of every layer and candidate; the reference is the candidate whose error is
// nearest (in the logarithm) to the middle between the largest and the smallest.
Sensitivity estimate_layers(const SensitivityProblem& problem, Measurements& measured);
// m(l, i) and `together`.
void measure_layers(const SensitivityProblem& problem, const ReferencePictures& pictures,
                    Measurements& measured, Sensitivity& sensitivity);

}  // namespace octavo
