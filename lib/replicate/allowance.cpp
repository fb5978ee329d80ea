// SPDX-License-Identifier: Apache-2.0
#include "replicate/allowance.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "model/units.hpp"

namespace umbra::replicate {

double weight_of(model::Priority priority) {
  switch (priority) {
    case model::Priority::critical:
      return 8;
    case model::Priority::high:
      return 4;
    case model::Priority::normal:
      return 2;
    case model::Priority::low:
      return 1;
  }
  return 1;
}

Allowance::Allowance(const ports::Context& context, const model::HostName& from, const model::VmName& vm,
                     const Limits& limits)
    : m_limits(limits) {
  if (m_limits.link && context.links != nullptr) m_share = context.links->enter(from, vm, m_limits.weight);
}

std::optional<model::ByteRate> Allowance::now() const {
  if (!m_limits.link) return m_limits.own;
  const model::ByteRate share{m_limits.link->value * (m_share ? m_share->share() : 1)};
  return m_limits.own ? std::min(*m_limits.own, share) : share;
}

Expected expected(model::ByteCount bytes, const std::optional<Measured>& measured, const Limits& limits,
                  const std::optional<model::ByteRate>& link) {
  const auto at = [&](const model::ByteRate& rate, const std::string& by) {
    return Expected{base::Seconds(static_cast<double>(bytes.value) / rate.value), by};
  };
  if (measured && measured->rate.value > 0)
    return at(measured->rate, fmt::format("{}, as {} went", model::to_human(measured->rate), measured->of));
  std::optional<model::ByteRate> least;
  std::string of;
  const auto bound = [&](const std::optional<model::ByteRate>& rate, const char* name) {
    if (!rate || rate->value <= 0 || (least && *least <= *rate)) return;
    least = rate;
    of = name;
  };
  bound(limits.own, "the limit");
  bound(limits.link, "the limit of its host");
  bound(link, "the link");
  if (least) return at(*least, fmt::format("{}, {}", model::to_human(*least), of));
  return {std::nullopt, "no pass from its host was measured, and no limit or link is configured"};
}

}  // namespace umbra::replicate
