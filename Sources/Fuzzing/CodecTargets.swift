import CompactEncoding
import DHTRPC
import BlindRelay
import HyperDHT
import Protomux
import SecretStream
import UDX

/// One target a message type; the seeds are small hand-made messages of the specification's own examples.
public enum FuzzTargets {
    public static let all: [FuzzTarget] = scripts + decoders
    /// Everything that takes one message or one file; the slow ones first, so that the others fill the time beside them.
    public static let decoders: [FuzzTarget] = CaptureTargets.all + codecs

    /// Whole machines, driven by what the input says. In the order in which a short run takes them.
    public static let scripts: [FuzzTarget] = [
        FuzzTarget("udx.script", planting: .udx(20), seeds: ScriptSeeds.udx, run: UDXScript.run),
        FuzzTarget("dht-rpc.script", planting: .dhtRPC(1), seeds: ScriptSeeds.dhtRPC, run: DHTRPCScript.run),
        FuzzTarget("hyperdht.script", planting: .dhtRPC(1), seeds: ScriptSeeds.hyperDHT, run: HyperDHTScript.run),
        FuzzTarget("hyperswarm.script", planting: .hyperswarm(12), seeds: ScriptSeeds.swarm, run: SwarmScript.run),
        FuzzTarget("noise.script", planting: .noise(14), seeds: ScriptSeeds.noise, run: NoiseScript.run),
        FuzzTarget("secret-stream.script", planting: .secretStream(20, 2), seeds: ScriptSeeds.secretStream, run: SecretStreamScript.run),
        FuzzTarget("protomux.script", planting: .protomux(2), seeds: ScriptSeeds.protomux, run: ProtomuxScript.run),
        FuzzTarget("blind-relay.script", planting: .blindRelay(8), seeds: ScriptSeeds.blindRelay, run: BlindRelayScript.run),
    ]

    public static let codecs: [FuzzTarget] = [
        .codec("udx.packet", Packet.self, seeds: hex(udxSeeds)),
        .codec("dht-rpc.request", Request.self, seeds: hex(requestSeeds)),
        .codec("dht-rpc.response", Response.self, seeds: hex(responseSeeds)),
        .codec("hyperdht.announce", AnnounceMessage.self, seeds: hex(announceSeeds)),
        .codec("hyperdht.lookup-reply", LookupReply.self, seeds: hex(lookupSeeds)),
        .codec("hyperdht.peer-record", PeerRecord.self, seeds: hex(["\(key)00", "\(key)020a01010149c20a0101024ac2"])),
        .codec("hyperdht.mutable-put", MutablePutRequest.self, seeds: hex(["\(key)010568656c6c6f\(signature)"])),
        .codec("hyperdht.mutable-record", MutableRecord.self, seeds: hex(["010568656c6c6f\(signature)"])),
        .codec("hyperdht.plugin", PluginMessage.self, seeds: hex(["0464656d6f010001020102"])),
        .codec("hyperdht.handshake", HandshakeMessage.self, seeds: hex(["00000401020304", "03030401020304cb00710750c30a0101024ac2"])),
        .codec("hyperdht.holepunch", HolepunchMessage.self, seeds: hex(["0100000401020304c633640928a0"])),
        .codec(
            "hyperdht.holepunch-payload", HolepunchPayload.self,
            seeds: hex(["08000000c633640928a0", "36000201" + "01cb00710750c3\(key)\(key)"])),
        .codec("hyperdht.mutable-get", MutableGetRequest.self, seeds: hex(["05", "fd0001", "ff0000000001000000"])),
        .codec("udx.header", PacketHeader.self, seeds: hex(["ff01010044332211000040000700000003000000"])),
        .codec("secret-stream.id-header", IDHeader.self, seeds: hex([key + String(repeating: "07", count: 24)])),
        .codec("secret-stream.frame", EncryptedFrame.self, seeds: hex(["00" + key, "01" + String(repeating: "07", count: 16)])),
        .codec("secret-stream.box", BoxEnvelope.self, seeds: hex([String(repeating: "07", count: 24), "0102030405060708" + key])),
        .codec("protomux.message", MuxMessage.self, seeds: hex(muxSeeds)),
        .codec("blind-relay.pair", Pair.self, seeds: hex(["01\(key)0500", "00\(key)fe0102030400", "fd0100\(key)fd000100"])),
        .codec("blind-relay.unpair", Unpair.self, seeds: hex(["00\(key)", "fe01000000\(key)"])),
        .codec("hyperdht.noise-payload", NoisePayload.self, seeds: hex(noisePayloadSeeds)),
    ]

    private static let key = String(repeating: "a5", count: 32)
    private static let signature = String(repeating: "5a", count: 64)

    private static let udxSeeds = [
        "ff01010044332211000040000700000003000000" + "68656c6c6f", "ff010000d4c3b2a1000040000300000008000000",
        "ff010400d4c3b2a10000400003000000080000000a0000000c0000000f00000010000000",
        "ff01010a44332211000040000c0000000300000000000000000000000000" + "4142",
        "ff010508443322110000400" + "00c000000030000000500000007000000" + "6869",
    ]
    private static let muxSeeds = [
        "0001010b626c696e642d72656c617900", "00010101610105ff", "000201", "0003fd0001", "0500" + "68656c6c6f",
        "0000" + "05" + "03016869" + "0006" + "0200ff" + "0000" + "020301", "000963",
    ]
    private static let requestSeeds = [
        "030434120a01010149c200", "03143612" + "0a01010149c20102" + "49c2", "030c37120a01010149c202\(key)",
        "031a05200a01010149c2\(key)08\(key)0568656c6c6f",
    ]
    private static let responseSeeds = [
        "13003412cb00710750c3", "13013412cb00710750c3\(key)", "13053712cb00710750c3\(key)020a0101024ac2c000020549c2",
        "130f4112cb00710750c3\(key)\(key)010a0101024ac202",
    ]
    private static let announceSeeds = [
        "05\(key)00\(signature)", "0d\(key)020a01010149c20a0101024ac2\(signature)ff0068e5cf8b010000", "02\(key)",
    ]
    private static let lookupSeeds = ["01\(key)020a01010149c20a0101024ac200", "00", "02\(key)00\(key)00"]
    private static let noisePayloadSeeds = [
        "011a000001c0a8010a49c20100fe040302010001",
        "015b000000020a01010149c2c633640928a00a0101024ac2c633640928a001c0a8071449c20100fe0d0c0b0a0001020a01010149c20a0101024ac2",
    ]

    private static func hex(_ texts: [String]) -> @Sendable () -> [[UInt8]] { { texts.map { Hex.decode($0) ?? [] } } }
}
