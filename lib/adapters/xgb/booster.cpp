// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/booster.hpp"

#include <fmt/core.h>
#include <xgboost/c_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <future>
#include <limits>
#include <numeric>
#include <thread>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace umbra::xgb {
namespace {

/// The library's message without its stack trace.
std::string last_error() {
  const std::string text = XGBGetLastError();
  return text.substr(0, text.find("\nStack trace"));
}

void check(int status, base::Kind kind, std::string_view act) {
  if (status != 0) throw base::Error(kind, fmt::format("XGBoost could not {}: {}", act, last_error()));
}

void check_size(const Matrix& m) {
  if (m.values.size() == m.rows * m.columns) return;
  throw base::Error(base::Kind::invalid,
                    fmt::format("a matrix of {} x {} was given {} values", m.rows, m.columns, m.values.size()));
}

void check_count(std::size_t values, std::size_t rows) {
  if (values == rows) return;
  throw base::Error(base::Kind::unsupported, fmt::format("the model gives {} values for {} rows", values, rows));
}

class DMatrix {
 public:
  explicit DMatrix(const Matrix& m) {
    check_size(m);
    check(
        XGDMatrixCreateFromMat(m.values.data(), m.rows, m.columns, std::numeric_limits<float>::quiet_NaN(), &m_handle),
        base::Kind::invalid, "take the matrix");
  }
  /// What is told of rows whose values lie elsewhere.
  DMatrix() { check(XGProxyDMatrixCreate(&m_handle), base::Kind::internal, "make a matrix"); }
  ~DMatrix() { XGDMatrixFree(m_handle); }
  DMatrix(const DMatrix&) = delete;
  DMatrix& operator=(const DMatrix&) = delete;
  DMatrixHandle get() const { return m_handle; }
  void set(const char* what, std::span<const float> per_row) {
    check(XGDMatrixSetFloatInfo(m_handle, what, per_row.data(), per_row.size()), base::Kind::invalid,
          fmt::format("take {} {}s", per_row.size(), what));
  }

 private:
  DMatrixHandle m_handle = nullptr;
};

void check_start(std::span<const float> start, std::size_t rows) {
  if (start.empty() || start.size() == rows) return;
  throw base::Error(base::Kind::invalid, fmt::format("{} rows were given {} values to start from", rows, start.size()));
}

void set_start(DMatrix& matrix, std::span<const float> start) {
  if (!start.empty()) matrix.set("base_margin", start);
}

/// A thread takes its time to start.
constexpr std::size_t least_for_a_thread = 16384;

// A saved model is a magic, the digest of what follows, and XGBoost's own bytes. Damaged bytes must not reach XGBoost:
// of 400 models cut short or with one bit turned, 1.7.4 crashed on 51, hung on 11 and took 134 for sound.
constexpr std::string_view magic = "UMBRAXG1";
constexpr std::size_t head_size = magic.size() + sizeof(base::Digest::bytes);

}  // namespace

struct Booster::Handle {
  BoosterHandle booster = nullptr;
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (booster != nullptr) XGBoosterFree(booster);
  }
  void set(const std::string& name, const std::string& value) {
    check(XGBoosterSetParam(booster, name.c_str(), value.c_str()), base::Kind::invalid,
          fmt::format("set {} to {}", name, value));
  }
  /// By the calling thread alone: the threads that XGBoost would start spin while they wait for work, and others of
  /// this program have use for the cores.
  void predict_alone() {
    set("nthread", "1");
    columns();  // makes it take that up now, not when the first thread asks
  }
  std::size_t columns() const {
    bst_ulong count = 0;
    check(XGBoosterGetNumFeature(booster, &count), base::Kind::internal, "tell its columns");
    return count;
  }
  /// One value per row, before the link. From any thread: XGBoost keeps results by thread, and nothing else changes.
  void predict(const Matrix& rows, std::span<const float> start, std::span<float> values) const {
    // In place: a DMatrix would be a copy of all of it in a wider form.
    const std::string where =
        fmt::format(R"({{"data": [{}, true], "shape": [{}, {}], "typestr": "<f4", "version": 3}})",
                    reinterpret_cast<std::uintptr_t>(rows.values.data()), rows.rows, rows.columns);
    constexpr const char* how =
        R"({"type": 1, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false, )"
        R"("missing": NaN, "cache_id": 0})";  // type 1: before the link
    DMatrix about;
    set_start(about, start);
    const bst_ulong* shape = nullptr;
    bst_ulong dimensions = 0;
    const float* given = nullptr;  // until the thread's next call
    check(XGBoosterPredictFromDense(booster, where.c_str(), how, about.get(), &shape, &dimensions, &given),
          base::Kind::internal, "predict");
    const bst_ulong count = std::accumulate(shape, shape + dimensions, bst_ulong{1}, std::multiplies<>{});
    check_count(count, values.size());
    std::copy(given, given + count, values.begin());
  }
  /// One value per row, before the link, of the trees so far: the booster's own, until the next call.
  std::span<const float> values_in_training(const DMatrix& matrix, std::size_t rows) const {
    constexpr int before_link = 1;
    constexpr int training = 1;  // lets XGBoost keep what the trees so far give
    bst_ulong count = 0;
    const float* values = nullptr;
    check(XGBoosterPredict(booster, matrix.get(), before_link, 0, training, &count, &values), base::Kind::internal,
          "predict");
    check_count(count, rows);
    return {values, count};
  }
};

Booster::Booster(std::unique_ptr<Handle> handle) : m_handle(std::move(handle)) {}
Booster::Booster(Booster&&) noexcept = default;
Booster& Booster::operator=(Booster&&) noexcept = default;
Booster::~Booster() = default;

Booster Booster::train(const Matrix& features, std::span<const float> labels, const TrainOptions& options) {
  if (features.rows == 0 || features.columns == 0) {
    throw base::Error(base::Kind::invalid, "there is nothing to train from: the matrix is empty");
  }
  if (labels.size() != features.rows) {
    throw base::Error(base::Kind::invalid, fmt::format("{} rows were given {} labels", features.rows, labels.size()));
  }
  DMatrix matrix(features);
  matrix.set("label", labels);
  check_start(options.start, features.rows);
  set_start(matrix, options.start);

  auto handle = std::make_unique<Handle>();
  const std::array<DMatrixHandle, 1> matrices{matrix.get()};
  check(XGBoosterCreate(matrices.data(), matrices.size(), &handle->booster), base::Kind::internal, "make a booster");
  handle->set("verbosity", "0");
  handle->set("seed", std::to_string(options.seed));
  handle->set("nthread", std::to_string(options.threads));
  for (const auto& [name, value] : options.params) handle->set(name, value);
  std::vector<float> first(options.gradient ? features.rows : 0);
  std::vector<float> second(first.size());
  for (unsigned round = 0; round < options.rounds; ++round) {
    if (!options.gradient) {
      check(XGBoosterUpdateOneIter(handle->booster, static_cast<int>(round), matrix.get()), base::Kind::invalid,
            "train");
      continue;
    }
    options.gradient(handle->values_in_training(matrix, features.rows), first, second);
    check(XGBoosterBoostOneIter(handle->booster, matrix.get(), first.data(), second.data(), features.rows),
          base::Kind::invalid, "train");
  }
  handle->predict_alone();
  return Booster(std::move(handle));
}

Booster Booster::load(std::span<const std::byte> model) {
  const auto damaged = [](const char* how) {
    return base::Error(base::Kind::corrupt, fmt::format("the trained model is damaged: {}", how), "umbra model train");
  };
  if (model.size() <= head_size || std::memcmp(model.data(), magic.data(), magic.size()) != 0) {
    throw damaged("it does not begin as a model does");
  }
  base::Digest told;
  std::memcpy(told.bytes.data(), model.data() + magic.size(), told.bytes.size());
  const auto body = model.subspan(head_size);
  if (base::sha256(body) != told) throw damaged("its contents differ from their digest");

  auto handle = std::make_unique<Handle>();
  check(XGBoosterCreate(nullptr, 0, &handle->booster), base::Kind::internal, "make a booster");
  check(XGBoosterLoadModelFromBuffer(handle->booster, body.data(), body.size()), base::Kind::corrupt, "load the model");
  handle->set("verbosity", "0");
  handle->predict_alone();
  return Booster(std::move(handle));
}

std::vector<float> Booster::predict(const Matrix& features, std::span<const float> start) const {
  if (features.rows == 0) return {};
  if (features.columns != columns()) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("the model takes {} columns, it was given {}", columns(), features.columns));
  }
  check_size(features);
  check_start(start, features.rows);
  std::vector<float> values(features.rows);
  const auto predict_rows = [&](std::size_t from, std::size_t count) {
    const Matrix some{features.values.subspan(from * features.columns, count * features.columns), count,
                      features.columns};
    m_handle->predict(some, start.empty() ? start : start.subspan(from, count), std::span(values).subspan(from, count));
  };
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t each = std::max(least_for_a_thread, (features.rows + cores - 1) / cores);
  std::vector<std::future<void>> others;
  for (std::size_t from = each; from < features.rows; from += each)
    others.push_back(std::async(std::launch::async, predict_rows, from, std::min(each, features.rows - from)));
  predict_rows(0, std::min(each, features.rows));
  for (std::future<void>& other : others) other.get();
  return values;
}

std::vector<std::byte> Booster::save() const {
  bst_ulong size = 0;
  const char* bytes = nullptr;  // the booster's own, until the next call
  check(XGBoosterSaveModelToBuffer(m_handle->booster, R"({"format": "ubj"})", &size, &bytes), base::Kind::internal,
        "save the model");
  const std::span<const std::byte> body(reinterpret_cast<const std::byte*>(bytes), size);
  const base::Digest digest = base::sha256(body);
  std::vector<std::byte> model(head_size + body.size());
  std::memcpy(model.data(), magic.data(), magic.size());
  std::memcpy(model.data() + magic.size(), digest.bytes.data(), digest.bytes.size());
  std::memcpy(model.data() + head_size, body.data(), body.size());
  return model;
}

std::size_t Booster::columns() const {
  return m_handle->columns();
}

std::string version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  XGBoostVersion(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace umbra::xgb
