// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/answer.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "adapters/metrics/number.hpp"
#include "base/error.hpp"

namespace umbra::metrics {

using Json = nlohmann::json;

namespace {

/// Gives `read` the result of an answer whose type is `type`.
template <class Read>
auto result_in(std::string_view body, const char* type, Read read) {
  try {
    const Json json = Json::parse(body);
    if (json.at("status") != "success") throw base::Error(base::Kind::io, json.value("error", "it tells no reason"));
    const Json& data = json.at("data");
    if (data.at("resultType") != type) {
      throw base::Error(base::Kind::invalid,
                        fmt::format("the query gives a {}, not a {}", data.at("resultType").get<std::string>(), type));
    }
    return read(data.at("result"));
  } catch (const Json::exception& e) {
    throw base::Error(base::Kind::invalid, fmt::format("the answer is none of Prometheus: {}", e.what()),
                      "check [metrics] url: it must be the server's address without a path");
  }
}

std::optional<double> number_in(const Json& pair) {
  return number_of(pair.at(1).get_ref<const std::string&>());
}

using Labels = std::map<std::string, std::string>;

}  // namespace

std::vector<InstantValue> vector_of(std::string_view body) {
  return result_in(body, "vector", [](const Json& result) {
    std::vector<InstantValue> values;
    for (const Json& one : result) {
      const Json& pair = one.at("value");
      if (const auto value = number_in(pair))
        values.push_back({one.at("metric").get<Labels>(), *value, pair.at(0).get<double>()});
    }
    return values;
  });
}

std::vector<RangeValues> matrix_of(std::string_view body) {
  return result_in(body, "matrix", [](const Json& result) {
    std::vector<RangeValues> series;
    for (const Json& one : result) {
      RangeValues values{one.at("metric").get<Labels>(), {}};
      for (const Json& pair : one.at("values")) {
        if (const auto value = number_in(pair)) values.points.push_back({pair.at(0).get<double>(), *value});
      }
      series.push_back(std::move(values));
    }
    return series;
  });
}

double time_in(std::string_view body) {
  return result_in(body, "scalar", [](const Json& result) {
    const auto value = number_in(result);
    if (!value) throw base::Error(base::Kind::invalid, "the server has no time");
    return *value;
  });
}

}  // namespace umbra::metrics
