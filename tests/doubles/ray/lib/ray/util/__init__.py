from ray import wire


def get_node_ip_address():
    return wire.read_node().get("address", "127.0.0.1")
