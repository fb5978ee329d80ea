// SPDX-License-Identifier: Apache-2.0
#pragma once
// Files that hold a forecast model. To the byte, numbers little-endian:
//   8   "UMBRAFM1"
//   32  SHA-256 of all that follows
//   8   size of the body before compression, at most 256 MiB
//   ..  the body, as one zstd frame:
//       4 + n  size and JSON of the head (model/forecast_model.hpp)
//       then for each layer five times 4 + n: size and bytes of the trees of saturation, peak, first p10 p50 p90;
//       nothing after them

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "model/forecast_model.hpp"

namespace umbra::xgb {

std::vector<std::byte> encode_model(const model::ForecastModel& model);
/// Kind::corrupt where `file` is no model, is cut short or differs from its digest;
/// Kind::unsupported where it is another version's.
model::ForecastModel decode_model(std::span<const std::byte> file);

/// Appears whole or not at all.
void write_model_file(const std::filesystem::path& path, const model::ForecastModel& model);
/// Kind::not_found where it is absent; Kind::corrupt as decode_model(), with the path named.
model::ForecastModel read_model_file(const std::filesystem::path& path);

}  // namespace umbra::xgb
