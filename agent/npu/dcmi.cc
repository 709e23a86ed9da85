// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/dcmi.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/npu/npu_smi.h"

namespace npufleet::npu {
namespace {

constexpr const char* kLibraries[] = {"/usr/local/dcmi/libdcmi.so",
                                      "/usr/local/Ascend/driver/lib64/driver/libdcmi.so",
                                      "/usr/lib64/libdcmi.so"};
constexpr int kMaxCards = 64;
constexpr int kMaxErrorCodes = 128;
constexpr int kMaxProcesses = 64;
constexpr unsigned kHealthGone = 0xFFFFFFFF;
constexpr int kAicore = 2;
constexpr int kNpu = 0;

// Layouts of the C structs, with room behind them for what newer libraries add.
struct ChipInfo {
  char type[32];
  char name[32];
  char version[32];
  uint32_t aicore_count;
  char room[512];
};
struct HbmInfo {
  uint64_t memory_size_mib;
  uint32_t frequency;
  uint64_t memory_usage_mib;
  int32_t temperature;
  uint32_t bandwidth_percent;
  char room[256];
};
struct PcieInfo {
  uint32_t vendor, subsystem_vendor, device, subsystem_device;
  int32_t domain;
  uint32_t bus, bus_device, function;
  char room[512];
};
struct ProcessMemory {
  int32_t pid;
  unsigned long bytes;
};

class Reader {
 public:
  explicit Reader(const DcmiFunctions& functions) : functions_(functions) {}

  absl::StatusOr<v1::Inventory> Read() {
    if (int code = functions_.init(); code != 0) {
      return absl::UnavailableError(absl::StrCat("dcmi_init failed. ret is ", code));
    }
    std::array<int, kMaxCards> cards{};
    int count = 0;
    if (int code = functions_.get_card_list(&count, cards.data(), kMaxCards); code != 0) {
      return absl::UnavailableError(absl::StrCat("dcmi_get_card_list failed. ret is ", code));
    }
    inventory_.set_source("dcmi");
    ReadDriverVersion();
    if (functions_.get_device_resource_info == nullptr) {
      inventory_.add_warnings(absl::StrCat(kProcessesReading, ": the library does not tell them"));
    }
    for (int i = 0; i < std::clamp(count, 0, kMaxCards); ++i) ReadCard(cards[i]);
    return std::move(inventory_);
  }

 private:
  void ReadDriverVersion() {
    char version[256] = {};
    if (functions_.get_driver_version == nullptr) return;
    if (Succeeds("driver version", functions_.get_driver_version(version, sizeof(version) - 1))) {
      inventory_.set_driver_version(Printable(version, 60));
    }
  }

  void ReadCard(int card) {
    where_ = absl::StrCat("NPU ", card);
    int devices = 0;
    if (!Succeeds(kChipsReading, functions_.get_device_num_in_card(card, &devices))) return;
    for (int device = 0; device < std::clamp(devices, 0, 16); ++device) {
      int type = kNpu;
      if (functions_.get_device_type != nullptr &&
          functions_.get_device_type(card, device, &type) == 0 && type != kNpu) {
        continue;  // the card's MCU or CPU
      }
      where_ = absl::StrCat("NPU ", card, " chip ", device);
      ReadChip(card, device, *inventory_.add_chips());
    }
  }

  void ReadChip(int card, int device, v1::Chip& chip) {
    chip.set_npu(card);
    chip.set_chip(device);
    ReadIdentity(card, device, chip);
    ReadHealth(card, device, chip);
    ReadFigures(card, device, chip);
    ReadProcesses(card, device, chip);
  }

  void ReadIdentity(int card, int device, v1::Chip& chip) {
    ChipInfo info{};
    if (functions_.get_device_chip_info != nullptr &&
        Succeeds("name", functions_.get_device_chip_info(card, device, &info))) {
      info.name[sizeof(info.name) - 1] = '\0';
      chip.set_name(Printable(info.name, 60));
    }
    int logic_id = 0;
    unsigned physical_id = 0;
    if (functions_.get_device_logic_id != nullptr &&
        functions_.get_device_phyid_from_logicid != nullptr &&
        Succeeds("logic id", functions_.get_device_logic_id(&logic_id, card, device)) &&
        Succeeds("physical id", functions_.get_device_phyid_from_logicid(logic_id, &physical_id))) {
      chip.set_physical_id(physical_id);
    }
    PcieInfo pcie{};
    if (functions_.get_device_pcie_info_v2 != nullptr &&
        Succeeds("bus id", functions_.get_device_pcie_info_v2(card, device, &pcie))) {
      chip.set_bus_id(absl::StrFormat("%04X:%02X:%02X.%X", pcie.domain, pcie.bus, pcie.bus_device,
                                      pcie.function));
    }
  }

  void ReadHealth(int card, int device, v1::Chip& chip) {
    unsigned health = 0;
    if (functions_.get_device_health != nullptr &&
        Succeeds("health", functions_.get_device_health(card, device, &health))) {
      static constexpr v1::Chip::Health kHealth[] = {v1::Chip::OK, v1::Chip::WARNING,
                                                     v1::Chip::ALARM, v1::Chip::CRITICAL};
      if (health < 4) chip.set_health(kHealth[health]);
      if (health == kHealthGone) chip.set_health(v1::Chip::GONE);
    }
    std::array<unsigned, kMaxErrorCodes> codes{};
    int count = 0;
    if (functions_.get_device_errorcode_v2 != nullptr &&
        Succeeds("error codes", functions_.get_device_errorcode_v2(card, device, &count,
                                                                   codes.data(), kMaxErrorCodes))) {
      for (int i = 0; i < std::clamp(count, 0, kMaxErrorCodes); ++i) {
        chip.add_error_codes(absl::StrFormat("%08X", codes[i]));
      }
    }
  }

  void ReadFigures(int card, int device, v1::Chip& chip) {
    int deciwatts = 0;
    if (functions_.get_device_power_info != nullptr &&
        Succeeds("power", functions_.get_device_power_info(card, device, &deciwatts))) {
      chip.set_power_watts(deciwatts / 10.0);
    }
    int celsius = 0;
    if (functions_.get_device_temperature != nullptr &&
        Succeeds("temperature", functions_.get_device_temperature(card, device, &celsius)) &&
        celsius < 0x7ffd) {
      chip.set_temperature_celsius(celsius);
    }
    unsigned percent = 0;
    if (functions_.get_device_utilization_rate != nullptr &&
        Succeeds("AICore load",
                 functions_.get_device_utilization_rate(card, device, kAicore, &percent))) {
      chip.set_aicore_percent(percent);
    }
    HbmInfo hbm{};
    if (functions_.get_device_hbm_info != nullptr &&
        Succeeds("HBM", functions_.get_device_hbm_info(card, device, &hbm)) &&
        hbm.memory_size_mib > 0) {
      chip.set_hbm_used_mib(hbm.memory_usage_mib);
      chip.set_hbm_total_mib(hbm.memory_size_mib);
    }
  }

  void ReadProcesses(int card, int device, v1::Chip& chip) {
    std::array<ProcessMemory, kMaxProcesses> processes{};
    int count = 0;
    if (functions_.get_device_resource_info == nullptr ||
        !Succeeds(kProcessesReading,
                  functions_.get_device_resource_info(card, device, processes.data(), &count))) {
      return;
    }
    for (int i = 0; i < std::clamp(count, 0, kMaxProcesses); ++i) {
      v1::Chip::Process& process = *chip.add_processes();
      process.set_pid(processes[i].pid);
      process.set_memory_mib(processes[i].bytes >> 20);
    }
  }

  bool Succeeds(absl::string_view what, int code) {
    if (code == 0) return true;
    if (inventory_.warnings_size() < kMaxDcmiWarnings) {
      inventory_.add_warnings(
          absl::StrCat(where_, where_.empty() ? "" : ": ", what, " was not read. ret is ", code));
    }
    return false;
  }

  const DcmiFunctions& functions_;
  v1::Inventory inventory_;
  std::string where_;
};

// Where the library is, or the end of the list.
const char* const* FindLibrary(const host::Filesystem& filesystem) {
  return std::find_if(std::begin(kLibraries), std::end(kLibraries),
                      [&](const char* library) { return filesystem.Exists(library); });
}

template <typename Function>
void Resolve(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
}

}  // namespace

DcmiLibrary::~DcmiLibrary() { dlclose(handle_); }

bool DcmiLibrary::Exists(const host::Filesystem& filesystem) {
  return FindLibrary(filesystem) != std::end(kLibraries);
}

absl::StatusOr<std::unique_ptr<DcmiLibrary>> DcmiLibrary::Open(const host::Filesystem& filesystem) {
  const char* const* path = FindLibrary(filesystem);
  if (path == std::end(kLibraries)) return absl::NotFoundError("no libdcmi.so on this node");
  void* handle = dlopen(filesystem.Real(*path).c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cannot open ", *path, ": ", dlerror()));
  }
  auto library = absl::WrapUnique(new DcmiLibrary(handle));
  DcmiFunctions& functions = library->functions_;
  Resolve(handle, "dcmi_init", functions.init);
  Resolve(handle, "dcmi_get_card_list", functions.get_card_list);
  if (functions.get_card_list == nullptr)
    Resolve(handle, "dcmi_get_card_num_list", functions.get_card_list);
  Resolve(handle, "dcmi_get_device_num_in_card", functions.get_device_num_in_card);
  if (!functions.init || !functions.get_card_list || !functions.get_device_num_in_card) {
    return absl::FailedPreconditionError(
        absl::StrCat(*path, " lacks dcmi_init or the card list: another driver's?"));
  }
  Resolve(handle, "dcmi_get_device_type", functions.get_device_type);
  Resolve(handle, "dcmi_get_device_chip_info", functions.get_device_chip_info);
  Resolve(handle, "dcmi_get_device_health", functions.get_device_health);
  Resolve(handle, "dcmi_get_device_errorcode_v2", functions.get_device_errorcode_v2);
  Resolve(handle, "dcmi_get_device_temperature", functions.get_device_temperature);
  Resolve(handle, "dcmi_get_device_power_info", functions.get_device_power_info);
  Resolve(handle, "dcmi_get_device_utilization_rate", functions.get_device_utilization_rate);
  Resolve(handle, "dcmi_get_device_hbm_info", functions.get_device_hbm_info);
  Resolve(handle, "dcmi_get_device_pcie_info_v2", functions.get_device_pcie_info_v2);
  Resolve(handle, "dcmi_get_device_resource_info", functions.get_device_resource_info);
  Resolve(handle, "dcmi_get_device_logic_id", functions.get_device_logic_id);
  Resolve(handle, "dcmi_get_device_phyid_from_logicid", functions.get_device_phyid_from_logicid);
  Resolve(handle, "dcmi_get_driver_version", functions.get_driver_version);
  return library;
}

absl::StatusOr<v1::Inventory> ReadDcmi(const DcmiFunctions& functions) {
  return Reader(functions).Read();
}

}  // namespace npufleet::npu
