// SPDX-License-Identifier: Apache-2.0
//
// Double of libdcmi.so, with the C interface of the real one: return codes, structs, units. What it
// answers is in $NPUFLEET_DOUBLE_ROOT/var/lib/npufleet-doubles/dcmi, read by dcmi_init():
//
//   init -8005                    dcmi_init() fails with this code
//   driver_version 25.2.0
//   chip CARD DEVICE KEY=VALUE…   name, type (0 NPU, 1 MCU), logic_id, physical_id, health (0-3, 4294967295 gone),
//                                 deciwatts, celsius, aicore, hbm_used, hbm_total (MB), bus (0000:C1:00.0),
//                                 codes=HEX,HEX, processes=PID:BYTES,PID:BYTES, fail=FUNCTION:CODE,…
//                                 hang=FUNCTION: it never returns
//
// FUNCTION is the name of a function without dcmi_get_ ("device_health"). Made with
// cc -shared -fPIC -o libdcmi.so libdcmi.c
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kInvalidParameter = -8001, kInvalidDevice = -8007, kNotInitialized = -8005, kNotSupported = -8255 };
enum { kMaxChips = 64, kMaxItems = 32 };

struct dcmi_chip_info {
  unsigned char chip_type[32];
  unsigned char chip_name[32];
  unsigned char chip_ver[32];
  unsigned int aicore_cnt;
};

struct dcmi_hbm_info {
  unsigned long long memory_size;
  unsigned int freq;
  unsigned long long memory_usage;
  int temp;
  unsigned int bandwith_util_rate;
};

struct dcmi_pcie_info_all {
  unsigned int venderid, subvenderid, deviceid, subdeviceid;
  int domain;
  unsigned int bdf_busid, bdf_deviceid, bdf_funcid;
  unsigned char reserve[32];
};

struct dcmi_proc_mem_info {
  int proc_id;
  unsigned long proc_mem_usage;
};

_Static_assert(sizeof(struct dcmi_chip_info) == 100, "as the driver's header lays it out");
_Static_assert(sizeof(struct dcmi_hbm_info) == 32, "as the driver's header lays it out");
_Static_assert(sizeof(struct dcmi_pcie_info_all) == 64, "as the driver's header lays it out");
_Static_assert(sizeof(struct dcmi_proc_mem_info) == 16, "as the driver's header lays it out");

struct chip {
  int card, device;
  char line[2048];
};

static struct chip chips[kMaxChips];
static int chip_count, init_code = kNotInitialized;
static char driver_version[64];

// The value of KEY= in the chip's line, up to the next blank; "" without one.
static const char* text_of(const struct chip* chip, const char* key, char* buffer, size_t size) {
  size_t length = strlen(key);
  buffer[0] = '\0';
  for (const char* at = chip->line; (at = strstr(at, key)) != NULL; at += length) {
    if (at[length] != '=' || (at != chip->line && at[-1] != ' ')) continue;
    size_t end = strcspn(at + length + 1, " \n");
    if (end >= size) end = size - 1;
    memcpy(buffer, at + length + 1, end);
    buffer[end] = '\0';
    break;
  }
  return buffer;
}

static long long number_of(const struct chip* chip, const char* key, long long otherwise) {
  char text[64];
  return *text_of(chip, key, text, sizeof text) != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

// The chip for a call of `function`, or its error.
static int find(int card, int device, const char* function, const struct chip** found) {
  if (init_code != 0) return init_code;
  for (int i = 0; i < chip_count; ++i) {
    if (chips[i].card != card || chips[i].device != device) continue;
    char faults[512];
    text_of(&chips[i], "fail", faults, sizeof faults);
    for (char* item = strtok(faults, ","); item != NULL; item = strtok(NULL, ",")) {
      char* colon = strchr(item, ':');
      if (colon == NULL) continue;
      *colon = '\0';
      if (strcmp(item, function) == 0) return atoi(colon + 1);
    }
    while (strcmp(text_of(&chips[i], "hang", faults, sizeof faults), function) == 0) pause();
    *found = &chips[i];
    return 0;
  }
  return kInvalidDevice;
}

int dcmi_init(void) {
  char path[1024], line[2048];
  const char* root = getenv("NPUFLEET_DOUBLE_ROOT");
  snprintf(path, sizeof path, "%s/var/lib/npufleet-doubles/dcmi", root != NULL ? root : "");
  FILE* file = fopen(path, "r");
  if (file == NULL) return init_code = kNotInitialized;
  init_code = chip_count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    int at = 0;
    struct chip* chip = &chips[chip_count];
    sscanf(line, "init %d", &init_code);
    sscanf(line, "driver_version %63s", driver_version);
    if (chip_count < kMaxChips && sscanf(line, "chip %d %d %n", &chip->card, &chip->device, &at) == 2 && at > 0) {
      strcpy(chip->line, line + at);
      ++chip_count;
    }
  }
  fclose(file);
  if (init_code == kNotInitialized) printf("DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n");  // as the driver does
  return init_code;
}

int dcmi_get_card_list(int* card_num, int* card_list, int list_len) {
  if (card_num == NULL || card_list == NULL) return kInvalidParameter;
  if (init_code != 0) return init_code;
  *card_num = 0;
  for (int i = 0; i < chip_count; ++i) {
    int known = 0;
    for (int j = 0; j < *card_num; ++j) known |= card_list[j] == chips[i].card;
    if (!known && *card_num < list_len) card_list[(*card_num)++] = chips[i].card;
  }
  return 0;
}

int dcmi_get_device_num_in_card(int card_id, int* device_num) {
  if (device_num == NULL) return kInvalidParameter;
  *device_num = 0;
  for (int i = 0; i < chip_count; ++i) *device_num += chips[i].card == card_id;
  return *device_num > 0 ? 0 : kInvalidDevice;
}

int dcmi_get_device_type(int card_id, int device_id, int* type) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_type", &chip);
  if (code == 0) *type = (int)number_of(chip, "type", 0);
  return code;
}

int dcmi_get_device_chip_info(int card_id, int device_id, struct dcmi_chip_info* info) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_chip_info", &chip);
  if (code != 0) return code;
  memset(info, 0, sizeof *info);
  strcpy((char*)info->chip_type, "Ascend");
  text_of(chip, "name", (char*)info->chip_name, sizeof info->chip_name);
  strcpy((char*)info->chip_ver, "V1");
  info->aicore_cnt = 20;
  return 0;
}

int dcmi_get_device_health(int card_id, int device_id, unsigned int* health) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_health", &chip);
  if (code == 0) *health = (unsigned int)number_of(chip, "health", 0);
  return code;
}

int dcmi_get_device_errorcode_v2(int card_id, int device_id, int* count, unsigned int* list, unsigned int list_len) {
  const struct chip* chip;
  char codes[512];
  int code = find(card_id, device_id, "device_errorcode_v2", &chip);
  if (code != 0) return code;
  if (list_len < 128) return kInvalidParameter;
  *count = 0;
  text_of(chip, "codes", codes, sizeof codes);
  for (char* item = strtok(codes, ","); item != NULL; item = strtok(NULL, ",")) {
    list[(*count)++] = (unsigned int)strtoul(item, NULL, 16);
  }
  return 0;
}

int dcmi_get_device_power_info(int card_id, int device_id, int* power) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_power_info", &chip);
  if (code == 0) *power = (int)number_of(chip, "deciwatts", 0);
  return code;
}

int dcmi_get_device_temperature(int card_id, int device_id, int* temperature) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_temperature", &chip);
  if (code == 0) *temperature = (int)number_of(chip, "celsius", 0x7fff);
  return code;
}

int dcmi_get_device_utilization_rate(int card_id, int device_id, int input_type, unsigned int* rate) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_utilization_rate", &chip);
  if (code != 0) return code;
  if (input_type != 2) return kNotSupported;
  *rate = (unsigned int)number_of(chip, "aicore", 0);
  return 0;
}

int dcmi_get_device_hbm_info(int card_id, int device_id, struct dcmi_hbm_info* info) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_hbm_info", &chip);
  if (code != 0) return code;
  memset(info, 0, sizeof *info);
  info->memory_size = (unsigned long long)number_of(chip, "hbm_total", 0);
  info->memory_usage = (unsigned long long)number_of(chip, "hbm_used", 0);
  info->freq = 1600;
  return 0;
}

int dcmi_get_device_pcie_info_v2(int card_id, int device_id, struct dcmi_pcie_info_all* info) {
  const struct chip* chip;
  char bus[64];
  int code = find(card_id, device_id, "device_pcie_info_v2", &chip);
  if (code != 0) return code;
  memset(info, 0, sizeof *info);
  info->venderid = 0x19e5;
  info->deviceid = 0xd802;
  text_of(chip, "bus", bus, sizeof bus);
  sscanf(bus, "%x:%x:%x.%x", (unsigned int*)&info->domain, &info->bdf_busid, &info->bdf_deviceid, &info->bdf_funcid);
  return 0;
}

int dcmi_get_device_resource_info(int card_id, int device_id, struct dcmi_proc_mem_info* processes, int* count) {
  const struct chip* chip;
  char text[1024];
  int code = find(card_id, device_id, "device_resource_info", &chip);
  if (code != 0) return code;
  *count = 0;
  text_of(chip, "processes", text, sizeof text);
  for (char* item = strtok(text, ","); item != NULL && *count < kMaxItems; item = strtok(NULL, ",")) {
    char* colon = strchr(item, ':');
    processes[*count].proc_id = atoi(item);
    processes[*count].proc_mem_usage = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    ++*count;
  }
  return 0;
}

int dcmi_get_device_logic_id(int* logic_id, int card_id, int device_id) {
  const struct chip* chip;
  int code = find(card_id, device_id, "device_logic_id", &chip);
  if (code == 0) *logic_id = (int)number_of(chip, "logic_id", 0);
  return code;
}

int dcmi_get_device_phyid_from_logicid(unsigned int logic_id, unsigned int* physical_id) {
  if (init_code != 0) return init_code;
  for (int i = 0; i < chip_count; ++i) {
    if (number_of(&chips[i], "logic_id", -1) != (long long)logic_id) continue;
    *physical_id = (unsigned int)number_of(&chips[i], "physical_id", 0);
    return 0;
  }
  return kInvalidDevice;
}

int dcmi_get_driver_version(char* version, unsigned int length) {
  if (init_code != 0) return init_code;
  if (length < 64) return kInvalidParameter;
  strcpy(version, driver_version);
  return 0;
}
