// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/model_file.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "adapters/xgb/default_model.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace {

using namespace umbra;

model::SavedTrees bytes(std::string_view text) {
  const auto span = std::as_bytes(std::span(text));
  return {span.begin(), span.end()};
}

model::ForecastModel some_model() {
  model::ForecastModel model;
  model.features = {"now", "over"};
  model::ForecastLayer layer;
  layer.name = "site/1";
  layer.training = {{"traces", {"week.csv"}}};
  layer.saturation = bytes("saturation");
  layer.peak = bytes("peak");
  layer.first = {bytes("p10"), bytes(""), bytes("p90")};
  model.layers = {layer, layer};
  model.layers.back().name = "site/2";
  model.log_odds = {{-1, 0, 2}, {-2, 0, 1}};
  model.peak_ranks = {0.08, 0.5, 0.93};
  model.scores = model::Json::object();
  return model;
}

bool is_refused(std::span<const std::byte> file) {
  try {
    xgb::decode_model(file);
  } catch (const base::Error& error) {
    CHECK(error.hint().find("umbra model") != std::string::npos);
    return error.kind() == base::Kind::corrupt || error.kind() == base::Kind::unsupported;
  }
  return false;
}

/// With a digest that fits, as somebody who means harm would make it.
std::vector<std::byte> sealed(std::vector<std::byte> file) {
  const base::Digest digest = base::sha256(std::span(file).subspan(40));
  std::memcpy(file.data() + 8, digest.bytes.data(), digest.bytes.size());
  return file;
}

}  // namespace

TEST_CASE("a model comes back from its file as it was") {
  const model::ForecastModel before = some_model();
  const model::ForecastModel after = xgb::decode_model(xgb::encode_model(before));
  CHECK(model::to_json(after) == model::to_json(before));
  CHECK(after.layers[1].saturation == before.layers[1].saturation);
  CHECK(after.layers[0].first == before.layers[0].first);
  CHECK(xgb::encode_model(after) == xgb::encode_model(before));
}

TEST_CASE("a model file that is cut short, changed or foreign is refused") {
  const auto file = xgb::encode_model(some_model());
  for (std::size_t size = 0; size < file.size(); ++size) CHECK(is_refused(std::span(file).first(size)));
  for (std::size_t at = 0; at < file.size(); ++at) {
    auto changed = file;
    changed[at] ^= std::byte{4};
    CHECK(is_refused(changed));
  }
  CHECK(is_refused(bytes("time,vm,cpu\n1,web1,0.5\n")));
}

TEST_CASE("a model file of another version is told as such, and not as damaged") {
  auto file = xgb::encode_model(some_model());
  file[7] = std::byte{'2'};
  try {
    xgb::decode_model(sealed(file));
    FAIL("no error");
  } catch (const base::Error& error) {
    CHECK(error.kind() == base::Kind::unsupported);
    CHECK(std::string(error.what()).find("another version") != std::string::npos);
  }
}

TEST_CASE("a size that no model has takes no memory") {
  auto file = xgb::encode_model(some_model());
  for (std::size_t i = 40; i < 48; ++i) file[i] = std::byte{0x7f};
  CHECK(is_refused(sealed(file)));
}

TEST_CASE("a damaged file is named in the error, and an absent one is not found") {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "umbra-model-file-test";
  base::write_file_atomic(path, "UMBRAFM1 and nothing more");
  try {
    xgb::read_model_file(path);
    FAIL("no error");
  } catch (const base::Error& error) {
    CHECK(error.kind() == base::Kind::corrupt);
    CHECK(std::string(error.what()).find(path.string()) != std::string::npos);
  }
  std::filesystem::remove(path);
  try {
    xgb::read_model_file(path);
    FAIL("no error");
  } catch (const base::Error& error) {
    CHECK(error.kind() == base::Kind::not_found);
  }
}

TEST_CASE("the model in the program is sound, tells where it comes from and is small") {
  const model::ForecastModel model = xgb::decode_model(xgb::default_model());
  CHECK(model.name().starts_with("default/"));
  CHECK(model.layers.front().training.at("traces").size() > 3);
  CHECK(model.layers.front().training.at("note").get<std::string>().find("Bitbrains") != std::string::npos);
  CHECK(xgb::default_model().size() < (5u << 20));
}
