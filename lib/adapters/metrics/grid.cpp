// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/grid.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ports/metric_source.hpp"

namespace umbra::metrics {
namespace {

std::string label_in(const std::map<std::string, std::string>& labels, const std::string& name) {
  const auto it = labels.find(name);
  return it == labels.end() ? std::string() : it->second;
}

/// Of network and disk the capacity is configured, not measured: they may pass 1.
bool is_bounded(model::Resource resource) {
  return resource != model::Resource::net && resource != model::Resource::disk;
}

/// The name of a VM, and whether it is libvirt's own or a host name within the guest.
struct Named {
  std::string name;
  bool is_domain = false;
};

Named name_in(const std::map<std::string, std::string>& labels, const std::vector<std::string>& vm_labels) {
  for (const std::string& label : vm_labels) {
    if (std::string name = label_in(labels, label); !name.empty()) return {std::move(name), label == "domain"};
  }
  return {};
}

}  // namespace

void GridSeries::add_uuids(const std::vector<InstantValue>& elements) {
  for (const InstantValue& element : elements) {
    const std::string name = name_in(element.labels, m_naming.vm_labels).name;
    std::string uuid = label_in(element.labels, "uuid");
    if (uuid.empty()) uuid = label_in(element.labels, "instance_id");
    if (name.empty() || uuid.empty()) continue;
    m_uuids.emplace(std::pair(m_naming.host_of(label_in(element.labels, "instance")), name), model::Uuid(uuid));
  }
}

void GridSeries::add_host(model::Resource resource, const RangeValues& values) {
  const std::string instance = label_in(values.labels, "instance");
  if (instance.empty()) return;
  const model::HostName host = m_naming.host_of(instance);
  const model::Uuid uuid("host:" + host.get());
  m_by_name.emplace(host.get(), uuid);
  add(series_of(uuid, model::VmName(), host), resource, values);
}

void GridSeries::add_vm(model::Resource resource, const RangeValues& values) {
  const Named named = name_in(values.labels, m_naming.vm_labels);
  if (named.name.empty()) return;
  const model::HostName host = m_naming.host_of(label_in(values.labels, "instance"));
  std::string own_uuid = label_in(values.labels, "uuid");
  if (const auto known = m_uuids.find({host, named.name}); own_uuid.empty() && known != m_uuids.end())
    own_uuid = known->second.get();
  if (own_uuid.empty() && !named.is_domain) {
    if (model::Series* known = series_by_name(named.name)) return add(*known, resource, values);
  }
  const model::VmName vm(named.name);
  const model::Uuid uuid = own_uuid.empty() ? ports::uuid_by_name(vm) : model::Uuid(own_uuid);
  m_by_name.emplace(named.name, uuid);
  model::Series& series = series_of(uuid, vm, host);
  // A VM that moved in this chunk is where its last value is from.
  if (named.is_domain && !values.points.empty()) {
    const auto newest = std::ranges::find_if(series.samples.rbegin(), series.samples.rend(), [&](const auto& sample) {
      return std::ranges::any_of(sample.values, [](const auto& value) { return value.has_value(); });
    });
    const double held =
        newest == series.samples.rend() ? 0 : static_cast<double>(newest->at.time_since_epoch().count()) / 1000;
    if (values.points.back().at > held) series.host = host;
  }
  add(series, resource, values);
}

/// "web1", or "web1.example.org" where only its first part is known.
model::Series* GridSeries::series_by_name(const std::string& name) {
  for (const std::string& part : {name, name.substr(0, name.find('.'))}) {
    if (const auto it = m_by_name.find(part); it != m_by_name.end()) return &m_series.at(it->second);
    // A VM of which this chunk has a uuid and no other figure.
    for (const auto& [where, uuid] : m_uuids) {
      if (where.second != part) continue;
      m_by_name.emplace(part, uuid);
      return &series_of(uuid, model::VmName(part), where.first);
    }
  }
  return nullptr;
}

model::Series& GridSeries::series_of(const model::Uuid& uuid, const model::VmName& vm, const model::HostName& host) {
  const auto [it, fresh] = m_series.try_emplace(uuid);
  model::Series& series = it->second;
  if (fresh) {
    series = {vm, uuid, host, std::vector<model::Sample>(m_grid.points)};
    for (std::size_t i = 0; i < m_grid.points; ++i)
      series.samples[i].at =
          base::Instant(base::Millis(m_grid.first_ms + static_cast<std::int64_t>(i) * m_grid.step_ms));
  }
  return series;
}

void GridSeries::add(model::Series& to, model::Resource resource, const RangeValues& values) {
  for (const RangePoint& point : values.points) {
    const double index =
        std::round((point.at * 1000 - static_cast<double>(m_grid.first_ms)) / static_cast<double>(m_grid.step_ms));
    if (!(index >= 0 && index < static_cast<double>(m_grid.points))) continue;  // not asked for
    if (!(point.value >= 0 && point.value <= model::most_fraction)) {
      // A difference of two means may miss zero by a rounding.
      if (!(point.value < 0 && point.value > -1e-9)) {
        if (m_bad.count++ == 0) {
          m_bad.first = fmt::format("{} of {} at {}", point.value, to.vm.get().empty() ? to.uuid.get() : to.vm.get(),
                                    base::to_rfc3339(to.samples[static_cast<std::size_t>(index)].at));
        }
        continue;
      }
    }
    double value = std::max(0.0, point.value);
    if (is_bounded(resource)) value = std::min(1.0, value);
    auto& place = to.samples[static_cast<std::size_t>(index)][resource];
    place = std::max(place.value_or(0), value);
  }
}

std::vector<model::Series> GridSeries::series() && {
  std::vector<model::Series> all;
  for (auto& [uuid, series] : m_series) {
    std::erase_if(series.samples, [](const model::Sample& sample) {
      return std::ranges::none_of(sample.values, [](const auto& value) { return value.has_value(); });
    });
    if (!series.samples.empty()) all.push_back(std::move(series));
  }
  return all;
}

}  // namespace umbra::metrics
