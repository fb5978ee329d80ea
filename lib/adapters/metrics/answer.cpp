// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/answer.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "adapters/metrics/number.hpp"
#include "base/error.hpp"

namespace umbra::metrics {

using Json = nlohmann::json;

std::vector<InstantValue> vector_of(std::string_view body) {
  try {
    const Json json = Json::parse(body);
    if (json.at("status") != "success") throw base::Error(base::Kind::io, json.value("error", "it tells no reason"));
    const Json& data = json.at("data");
    if (data.at("resultType") != "vector") {
      throw base::Error(base::Kind::invalid,
                        fmt::format("the query gives a {}, not a vector", data.at("resultType").get<std::string>()));
    }
    std::vector<InstantValue> values;
    for (const Json& one : data.at("result")) {
      const auto value = number_of(one.at("value").at(1).get<std::string>());
      if (value)
        values.push_back(
            {one.at("metric").get<std::map<std::string, std::string>>(), *value, one.at("value").at(0).get<double>()});
    }
    return values;
  } catch (const Json::exception& e) {
    throw base::Error(base::Kind::invalid, fmt::format("the answer is none of Prometheus: {}", e.what()),
                      "check [metrics] url: it must be the server's address without a path");
  }
}

}  // namespace umbra::metrics
