import CompactEncoding
import DHTRPC
import Dissection
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON
import UDX

/// A dissected capture with the indices that rules need.
struct TraceContext {
    let bundle: TraceBundle
    let dissection: Dissection
    let vantage: TraceVantage
    let knowledge: Knowledge
    /// Addresses that packets came from or went to, or that the manifest names.
    let endpoints: Set<Endpoint>
    let streamIDs: Set<UInt32>
    /// Streams of which the capture, or a recorded call, shows how they came to be: they can't be older than the capture.
    let bornIDs: Set<UInt32>
    /// Exchange of each request and response, by packet index.
    let exchangeOf: [Int: Int]
    let flowOf: [Int: Int]
    /// How often each target stands in requests, retransmissions and relayed legs left out.
    let targetUses: [Bytes32: Int]
    /// How often each address stands in lists of closer nodes.
    let listedNodes: [Endpoint: Int]
    /// 32-byte values that stand to reason as targets.
    let targets: Set<Bytes32>
    /// Integers in the recorded calls, by key.
    let integers: [String: Set<Int64>]
    /// Public addresses that the packets alone tell.
    let publicHosts: [IPAddress: IPAddress]

    /// Whether anything but packets is known: a key log, a manifest, recorded calls.
    var knowsPeers: Bool { bundle.keyLog != nil || !bundle.inputs.isEmpty || !knowledge.plainStreams.isEmpty }

    /// Whether datagrams were lost: something was answered, or acknowledged, only after it had been repeated.
    let hasLoss: Bool

    /// How many packets came from or went to each socket.
    let socketUses: [Endpoint: Int]

    /// A snap length cut packets: what they said is not known.
    let isCut: Bool

    /// Hosts on which the capture may have been made.
    private let commonHosts: Set<IPAddress>

    /// Whether the recording lists random draws: only then every random value has a name.
    let hasRecordedDraws: Bool

    /// When each socket sent.
    let sendings: SendingClock

    /// Recorded writes and messages, by the id that they went to.
    let streamCalls: [UInt32: StreamCalls]

    /// When nodes were suspended, as far as calls tell.
    let suspensions: [Suspension]

    var packets: [DissectedPacket] { dissection.packets }

    init(_ bundle: TraceBundle, capture: Capture? = nil, vantage: TraceVantage = .everything) {
        self.init(TraceBackground(bundle), capture: capture ?? bundle.capture, vantage: vantage)
    }

    init(_ background: TraceBackground, capture: Capture, memory: DissectionMemory? = nil, vantage: TraceVantage = .everything) {
        bundle = background.bundle
        self.vantage = vantage
        hasRecordedDraws = bundle.inputs.contains { if case .draw = $0.kind { true } else { false } }
        knowledge = background.knowledge
        integers = background.integers
        endpoints = background.endpoints
        targets = background.targets
        dissection = Dissection(
            name: bundle.name, capture: capture, keyLog: bundle.keyLog, knowledge: knowledge, memory: memory)
        var exchangeOf: [Int: Int] = [:]
        var targetUses: [Bytes32: Int] = [:]
        for (number, exchange) in dissection.exchanges.enumerated() {
            for index in exchange.requests { exchangeOf[index] = number }
            if let response = exchange.response { exchangeOf[response] = number }
            for index in exchange.duplicateResponses { exchangeOf[index] = number }
            if let target = exchange.target { targetUses[target, default: 0] += 1 }
        }
        self.exchangeOf = exchangeOf
        let packets = dissection.packets
        sendings = SendingClock(packets)
        commonHosts = TraceContext.commonHosts(packets)
        isCut = packets.contains { $0.packet.isCut }
        var uses: [Endpoint: Int] = [:]
        for packet in packets {
            uses[packet.packet.source, default: 0] += 1
            uses[packet.packet.destination, default: 0] += 1
        }
        socketUses = uses
        streamCalls = background.streamCalls
        suspensions = background.suspensions
        hasLoss =
            dissection.flows.contains { $0.retransmissions > 0 }
            || dissection.exchanges.contains { exchange in
                guard let response = exchange.response, let repeated = exchange.retransmissions.first else { return false }
                return repeated < response
                    && packets[repeated].packet.timeNanoseconds - packets[exchange.request].packet.timeNanoseconds > 900_000_000
            }
        self.targetUses = targetUses
        var flowOf: [Int: Int] = [:]
        for (number, flow) in dissection.flows.enumerated() { for index in flow.packets { flowOf[index] = number } }
        self.flowOf = flowOf
        var listed: [Endpoint: Int] = [:]
        var ids: Set<UInt32> = Set(knowledge.plainStreams.map { $0.streamID.rawValue })
        for entry in bundle.keyLog?.entries ?? [] {
            if case .secretStream(let record) = entry.record, let udx = record.udx { ids.formUnion([udx.localID, udx.remoteID]) }
        }
        for packet in dissection.packets {
            if case .response(let response) = packet.message { for node in response.closerNodes { listed[node, default: 0] += 1 } }
            for unit in packet.units where !unit.isWire {
                switch unit.layer {
                case .noisePayload:
                    if let id = (try? NoisePayload(decoding: unit.bytes))?.udx?.id { ids.insert(UInt32(truncatingIfNeeded: id)) }
                case .blindRelay:
                    if let field = unit.field("streamID"), case .uint(let id) = field.value { ids.insert(UInt32(truncatingIfNeeded: id)) }
                default: break
                }
            }
        }
        var born: Set<UInt32> = []
        for packet in dissection.packets {
            for unit in packet.units where !unit.isWire && unit.layer == .noisePayload {
                if let id = (try? NoisePayload(decoding: unit.bytes))?.udx?.id { born.insert(UInt32(truncatingIfNeeded: id)) }
            }
        }
        if let first = dissection.packets.first?.packet.timeNanoseconds {
            for (id, calls) in background.streamCalls where calls.connected.map({ $0 > first }) ?? false { born.insert(id) }
        }
        bornIDs = born
        listedNodes = listed
        streamIDs = ids
        publicHosts = TraceContext.publicHosts(dissection.packets, knowledge)
    }

    /// How the others see this host: as the manifest says, or as their messages tell it.
    func publicAddress(of host: IPAddress) -> IPAddress { publicHosts[host] ?? knowledge.publicAddress(of: host) }

    /// Hosts behind a NAT of which no manifest speaks: all others, at least two of them, name one and the same other address.
    private static func publicHosts(_ packets: [DissectedPacket], _ knowledge: Knowledge) -> [IPAddress: IPAddress] {
        struct Seen {
            var hosts: [IPAddress: Set<IPAddress>] = [:]
        }
        var seen: [IPAddress: Seen] = [:]
        for packet in packets {
            let to: Endpoint
            switch packet.message {
            case .request(let request): to = request.to
            case .response(let response): to = response.to
            default: continue
            }
            let host = packet.packet.destination.address
            guard AddressClass.isPrivate(host), knowledge.publicAddresses[host] == nil, packet.packet.source.address != host else {
                continue
            }
            seen[host, default: Seen()].hosts[to.address, default: []].insert(packet.packet.source.address)
        }
        var result: [IPAddress: IPAddress] = [:]
        for (host, seen) in seen {
            // One damaged packet is no evidence: nearly all who speak to the host agree.
            guard let best = seen.hosts.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) }), best.key != host,
                best.value.count >= 2, seen.hosts.allSatisfy({ $0.key == best.key || $0.value.count * 4 <= best.value.count })
            else { continue }
            result[host] = best.key
        }
        return result
    }

    /// Whether everything that this node sends and takes in is in the capture: one that was made on a host shows that host's traffic alone.
    func showsAll(of node: Endpoint) -> Bool { commonHosts.isEmpty || commonHosts.contains(node.address) }

    /// Hosts that every packet comes from or goes to; empty where there is none, or all is on one.
    private static func commonHosts(_ packets: [DissectedPacket]) -> Set<IPAddress> {
        var all: Set<IPAddress> = []
        var common: Set<IPAddress>?
        for packet in packets where packet.packet.transport == .udp {
            let ends: Set<IPAddress> = [packet.packet.source.address, packet.packet.destination.address]
            all.formUnion(ends)
            common = common.map { $0.intersection(ends) } ?? ends
        }
        return all.count > 1 ? common ?? [] : []
    }

    /// Whether the capture holds every packet that the flow's sender sent.
    func seesSent(_ flow: UDXFlow) -> Bool { vantage.seesSent(flow.from.address) }

    /// Whether the capture holds the flow as its receiver got it.
    func seesReceived(_ flow: UDXFlow) -> Bool { vantage.seesReceived(flow.to.address) }

    /// The exchange's request message.
    func request(_ exchange: Exchange) -> Request? {
        if case .request(let request) = packets[exchange.request].message { request } else { nil }
    }

    func number(_ index: Int) -> Int { packets.indices.contains(index) ? packets[index].number : 0 }

    /// Offset of a field in a packet's payload.
    func offset(_ index: Int, _ field: String, layer: Layer) -> Int? {
        packets[index].units.first { $0.isWire && $0.layer == layer }?.field(field)?.range.lowerBound
    }
}

/// What a bundle tells of its run, whatever its packets say: worked out once for all variants of its capture.
struct TraceBackground {
    let bundle: TraceBundle
    let knowledge: Knowledge
    let endpoints: Set<Endpoint>
    let targets: Set<Bytes32>
    let integers: [String: Set<Int64>]
    let streamCalls: [UInt32: StreamCalls]
    let suspensions: [Suspension]

    init(_ bundle: TraceBundle) {
        self.bundle = bundle
        streamCalls = StreamCalls.gather(bundle)
        suspensions = Suspension.gather(bundle)
        knowledge = Knowledge(bundle)
        integers = TraceBackground.integers(bundle)
        var endpoints: Set<Endpoint> = []
        for other in [bundle.capture] + bundle.extraCaptures.map(\.capture) {
            for packet in other.packets {
                endpoints.insert(packet.source)
                endpoints.insert(packet.destination)
            }
        }
        for peer in knowledge.peers {
            for port in [peer.serverPort, peer.clientPort, peer.port] {
                if let host = peer.host, let port { endpoints.insert(Endpoint(host, port)) }
            }
        }
        self.endpoints = endpoints
        var targets = knowledge.values
        for endpoint in endpoints { targets.insert(NodeID.of(endpoint)) }
        targets.formUnion(knowledge.keysByTarget.keys)
        self.targets = targets
    }

    static func integers(_ bundle: TraceBundle) -> [String: Set<Int64>] {
        var result: [String: Set<Int64>] = [:]
        func collect(_ json: JSON) {
            json.array?.forEach(collect)
            for member in json.object?.members ?? [] {
                if let number = member.value.integer { result[member.key, default: []].insert(number) }
                collect(member.value)
            }
        }
        for input in bundle.inputs { if case .call(_, _, _, let arguments) = input.kind { arguments.forEach(collect) } }
        for event in bundle.events { collect(.object(event.details)) }
        return result
    }
}
