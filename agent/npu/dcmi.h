// SPDX-License-Identifier: Apache-2.0
//
// DCMI, the C library of the driver, by dlopen: nothing of it is linked, and a node without it is a
// normal node. Signatures and return codes are those of dcmi_interface_api.h; buffers are larger
// than the newest known structs, which have grown between releases. Its calls hang with the driver:
// the agent makes them in a process of their own (dcmi_child.h).
#ifndef AGENT_NPU_DCMI_H_
#define AGENT_NPU_DCMI_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/host/filesystem.h"
#include "npufleet/v1/inventory.pb.h"

namespace npufleet::npu {

// The functions that an inventory needs; any but the first three may be missing from an old
// library.
struct DcmiFunctions {
  int (*init)() = nullptr;
  int (*get_card_list)(int* count, int* cards, int length) = nullptr;
  int (*get_device_num_in_card)(int card, int* count) = nullptr;
  int (*get_device_type)(int card, int device, int* type) = nullptr;  // 0: NPU
  int (*get_device_chip_info)(int card, int device, void* chip_info) = nullptr;
  int (*get_device_health)(int card, int device, unsigned* health) = nullptr;
  int (*get_device_errorcode_v2)(int card, int device, int* count, unsigned* codes,
                                 unsigned length) = nullptr;
  int (*get_device_temperature)(int card, int device, int* celsius) = nullptr;
  int (*get_device_power_info)(int card, int device, int* deciwatts) = nullptr;
  int (*get_device_utilization_rate)(int card, int device, int what, unsigned* percent) = nullptr;
  int (*get_device_hbm_info)(int card, int device, void* hbm_info) = nullptr;
  int (*get_device_pcie_info_v2)(int card, int device, void* pcie_info) = nullptr;
  int (*get_device_resource_info)(int card, int device, void* processes, int* count) = nullptr;
  int (*get_device_logic_id)(int* logic_id, int card, int device) = nullptr;
  int (*get_device_phyid_from_logicid)(unsigned logic_id, unsigned* physical_id) = nullptr;
  int (*get_driver_version)(char* version, unsigned length) = nullptr;
};

// The library, open. Not threadsafe; closed with the object.
class DcmiLibrary {
 public:
  ~DcmiLibrary();
  DcmiLibrary(const DcmiLibrary&) = delete;
  DcmiLibrary& operator=(const DcmiLibrary&) = delete;

  // Whether it is at one of the places where drivers leave it (under the root).
  static bool Exists(const host::Filesystem& filesystem);

  // NotFound: no library at these places. FailedPrecondition: it cannot be opened, or lacks what no
  // inventory can do without.
  static absl::StatusOr<std::unique_ptr<DcmiLibrary>> Open(const host::Filesystem& filesystem);

  const DcmiFunctions& functions() const { return functions_; }

 private:
  explicit DcmiLibrary(void* handle) : handle_(handle) {}

  void* handle_;
  DcmiFunctions functions_;
};

// Of the warnings of ReadDcmi: how many there are at most, and the names of two readings in them.
inline constexpr int kMaxDcmiWarnings = 20;
inline constexpr char kChipsReading[] = "number of chips";
inline constexpr char kProcessesReading[] = "processes";

// Reads all chips. Unavailable, with the code, when dcmi_init or the card list fails; a single
// reading that fails is absent, with a warning.
absl::StatusOr<v1::Inventory> ReadDcmi(const DcmiFunctions& functions);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_DCMI_H_
