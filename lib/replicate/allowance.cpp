// SPDX-License-Identifier: Apache-2.0
#include "replicate/allowance.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "model/units.hpp"

namespace umbra::replicate {
namespace {

using ports::Method;

/// Whether nothing tells it what changed.
bool reads_all(Method method) {
  return method == Method::full || method == Method::digest;
}

}  // namespace

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

std::optional<Measured> measured(ports::Method method, model::ByteCount looked, model::ByteCount sent,
                                 base::Seconds duration, std::string of) {
  if (looked.value == 0 || duration.count() <= 0) return std::nullopt;
  const auto bytes = static_cast<double>(looked.value);
  return Measured{method, {bytes / duration.count()}, static_cast<double>(sent.value) / bytes, std::move(of)};
}

std::optional<Measured> measured(const model::Replica& replica, std::string of) {
  for (const ports::Method method : {Method::full, Method::bitmap, Method::above, Method::digest}) {
    if (replica.method == ports::to_string(method))
      return measured(method, replica.dirty, replica.sent, base::Seconds(replica.duration_s), std::move(of));
  }
  return std::nullopt;
}

Expected expected(model::ByteCount bytes, ports::Method method, const std::optional<Measured>& measured,
                  const Limits& limits, const std::optional<model::ByteRate>& link) {
  Expected longest{std::nullopt, "no such pass from its host was measured, and no limit or link is configured"};
  const auto takes = [&](double count, const model::ByteRate& rate, const std::string& by) {
    const base::Seconds duration{count / rate.value};
    if (!longest.duration || duration > *longest.duration)
      longest = {duration, fmt::format("{} {}", model::to_human(rate), by)};
  };
  const auto looked = static_cast<double>(bytes.value);
  const bool is_alike = measured && reads_all(measured->method) == reads_all(method);
  const double sent = looked * (is_alike && measured->method == method ? measured->sent_share : 1);
  if (is_alike && measured->rate.value > 0)
    takes(looked, measured->rate, fmt::format("looked at, as {} went", measured->of));
  else if (measured && !reads_all(method) && measured->rate.value * measured->sent_share > 0)
    takes(sent, {measured->rate.value * measured->sent_share}, fmt::format("sent, as {} went", measured->of));
  const bool tells = longest.duration.has_value();
  const auto bound = [&](const std::optional<model::ByteRate>& rate, const char* name) {
    if (rate && rate->value > 0) takes(sent, *rate, fmt::format("sent, {}", name));
  };
  bound(limits.own, "the limit");
  bound(limits.link, "the limit of its host");
  if (!tells) bound(link, "the link");  // else what it carries was measured too
  return longest;
}

}  // namespace umbra::replicate
