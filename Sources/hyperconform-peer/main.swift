print("hyperconform-peer")
