driver = None


def available_resources_per_node():
    return {node["id"]: {"NPU": float(node["npu"] - node["held"])} for node in driver.nodes()}
