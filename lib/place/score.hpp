// SPDX-License-Identifier: Apache-2.0
#pragma once
// The terms of a host's score, each 0..1, and their weighted mean.

#include <map>
#include <string>

#include "place/place.hpp"

namespace umbra::place {

/// `origin` is the VM's own host where it is among the candidates: its CPU model tells whether the hosts are alike.
std::map<std::string, double> terms_of(const Need& need, const Candidate& candidate, const Candidate* origin,
                                       const model::PlaceConfig& config);

/// Kind::usage where a weight names no term, is negative, or all are 0.
void check_weights(const std::map<std::string, double>& weights);
double weighted_mean(const std::map<std::string, double>& terms, const std::map<std::string, double>& weights);

}  // namespace umbra::place
