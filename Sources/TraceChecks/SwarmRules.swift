import CompactEncoding
import Dissection
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO

/// What Hyperswarm of the reference does on the wire. hyperswarm.md.
enum SwarmRules {
    static func run(_ context: TraceContext, _ report: inout TraceReport) {
        joins(context, &report)
        selfAnnouncements(context, &report)
        fastOpen(context, &report)
        recordedHeaders(context, &report)
        freshHeaders(context, &report)
        CrossingRules.run(context, &report)
    }

    /// The identifier header of each stream is what the application's side wrote, where the run recorded its writes.
    private static func recordedHeaders(_ context: TraceContext, _ report: inout TraceReport) {
        var written: Set<[UInt8]> = []
        for input in context.bundle.inputs {
            guard case .call("UDXStream", _, "write", let arguments) = input.kind,
                let bytes = arguments.first?.string.flatMap({ Hex.decode($0) }),
                bytes.count == 59
            else { continue }
            written.insert(bytes)
        }
        guard !written.isEmpty else { return }
        for packet in context.packets {
            for unit in packet.units where unit.layer == .secretStream && unit.name == "identifier header" {
                report.check(
                    "secret-stream.recorded-header", written.contains(unit.bytes), packet.number, "secret-stream.header", nil,
                    "an identifier header that no side of the run wrote")
            }
        }
    }

    /// SS-31. No two streams begin with the same 24 bytes after their ids.
    private static func freshHeaders(_ context: TraceContext, _ report: inout TraceReport) {
        var seen: [[UInt8]: (flow: Int?, number: Int)] = [:]
        for (index, packet) in context.packets.enumerated() where packet.retransmissionOf == nil && packet.relayedCopyOf == nil {
            for unit in packet.units where unit.layer == .secretStream && unit.name == "identifier header" && unit.bytes.count >= 24 {
                let header = Array(unit.bytes.suffix(24))
                let known = seen[header]
                report.check(
                    "secret-stream.fresh-header", known == nil || known?.flow == context.flowOf[index], packet.number,
                    "secret-stream.header",
                    nil, "the cipher begins with the same header as in packet \(known?.number ?? 0)")
                if known == nil { seen[header] = (context.flowOf[index], packet.number) }
            }
        }
    }

    /// A joined topic is looked up or announced exactly as given, not hashed.
    private static func joins(_ context: TraceContext, _ report: inout TraceReport) {
        var targets: [UInt64: Set<Bytes32>] = [:]
        for exchange in context.dissection.exchanges where !exchange.isInternal {
            if let target = exchange.target { targets[exchange.commandNumber, default: []].insert(target) }
        }
        for input in context.bundle.inputs {
            guard case .call(let object, _, let method, let arguments) = input.kind, object == "Hyperswarm", method == "join",
                let topic = arguments.first?.string.flatMap({ Hex.decode($0) }).flatMap({ Bytes32($0) })
            else { continue }
            let isClient = arguments.dropFirst().first?["client"]?.bool ?? true
            let isServer = arguments.dropFirst().first?["server"]?.bool ?? true
            let looked = targets[HyperDHTCommand.lookup.rawValue]?.contains(topic) ?? false
            let announced = targets[HyperDHTCommand.announce.rawValue]?.contains(topic) ?? false
            report.check(
                "hyperswarm.join", looked, 0, "dht-rpc.target", nil, "joined topic \(topic) is never looked up (client \(isClient))")
            if isServer { report.check("hyperswarm.join", announced, 0, "dht-rpc.target", nil, "joined topic \(topic) is never announced") }
        }
    }

    /// A listening key announces itself at the hash of its key, without relay addresses; topic records name three at most.
    private static func selfAnnouncements(_ context: TraceContext, _ report: inout TraceReport) {
        for exchange in context.dissection.exchanges
        where !exchange.isInternal && exchange.commandNumber == HyperDHTCommand.announce.rawValue {
            guard let target = exchange.target, case .announce(let message)? = HyperDHTRules.value(context, exchange.request),
                let peer = message.peer
            else { continue }
            let number = context.number(exchange.request)
            if Blake2b.hash256(peer.publicKey.bytes) == target {
                report.check(
                    "hyperdht.self-announce", peer.relayAddresses.isEmpty, number, "hyperdht.relayAddresses", nil,
                    "a self announce with relay addresses")
            } else {
                report.check(
                    "hyperswarm.record", peer.relayAddresses.count <= 3, number, "hyperdht.relayAddresses", nil,
                    "\(peer.relayAddresses.count) relay addresses")
            }
        }
    }

    /// A one-byte datagram with a low TTL leaves before the first hole-punch round.
    private static func fastOpen(_ context: TraceContext, _ report: inout TraceReport) {
        var opened: Set<IPAddress> = []
        var asked: Set<Endpoint> = []
        for (index, packet) in context.packets.enumerated() {
            if packet.kind == .probe, packet.packet.timeToLive > 0, packet.packet.timeToLive <= 5 {
                opened.insert(packet.packet.source.address)
            }
            guard case .request = packet.message, case .holepunch(let message)? = HyperDHTRules.value(context, index),
                message.mode == .fromClient,
                asked.insert(packet.packet.source).inserted, context.vantage.seesSent(packet.packet.source.address),
                // Without fast open the first round names no remote address. hyperdht.md section 13.
                let unit = packet.units.first(where: { $0.layer == .holepunch }),
                (try? HolepunchPayload(decoding: unit.bytes))?.remoteAddress != nil
            else { continue }
            report.check(
                "hyperdht.fast-open", opened.contains(packet.packet.source.address), packet.number, "ip.timeToLive", nil,
                "a hole-punch round without a probe of low TTL before it")
        }
    }
}
