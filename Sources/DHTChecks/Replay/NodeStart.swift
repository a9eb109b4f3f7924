import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// How a recorded node began: what it drew when it was made, and the options that its first packets show.
struct NodeStart {
    let at: Instant
    let tableID: Bytes32
    let firstTID: UInt16
    /// Ticks counted at the start, and ticks to the first refresh.
    let tick: Int32
    let refreshTicks: Int32

    /// A node draws its table id, its first tid, and the starts of its two counters, in this order, when it is made.
    static func all(_ bundle: TraceBundle) -> [NodeStart] {
        var result: [NodeStart] = []
        var open: (at: Instant, id: Bytes32, tid: UInt16?, units: [Double])?
        for input in bundle.inputs {
            guard case .draw(_, let file, _, let function, let value) = input.kind else { continue }
            if file == "dht-rpc/index.js", function == "randomBytes", case .bytes(let bytes) = value, let id = Bytes32(bytes) {
                open = (input.time, id, nil, [])
            }
            guard case .unit(let unit) = value, var current = open else { continue }
            if file == "dht-rpc/lib/io.js", function == "IO" { current.tid = UInt16(unit * 65_536) }
            if file == "dht-rpc/index.js", function == "randomOffset" { current.units.append(unit) }
            open = current
            if let tid = current.tid, current.units.count == 2 {
                result.append(
                    NodeStart(
                        at: current.at, tableID: current.id, firstTID: tid, tick: 100 - Int32(current.units[0] * 50),
                        refreshTicks: 60 - Int32(current.units[1] * 30)))
                open = nil
            }
        }
        return result
    }

    /// Which start belongs to which node: the first FIND_NODE of a node asks for its table id; a node that asks nobody and stays ephemeral
    /// keeps that id; nodes whose start nothing shows take what is left, in order.
    static func assigned(_ bundle: TraceBundle, _ views: [NodeView]) -> [String: NodeStart] {
        var left = all(bundle)
        var result: [String: NodeStart] = [:]
        func take(_ name: String, _ matches: (NodeStart) -> Bool) {
            guard result[name] == nil, let at = left.firstIndex(where: matches) else { return }
            result[name] = left.remove(at: at)
        }
        for view in views {
            guard let target = view.firstSearch else { continue }
            take(view.peer.name) { $0.tableID == target }
        }
        for view in views { take(view.peer.name) { $0.tableID == view.peer.nodeID } }
        for view in views { take(view.peer.name) { _ in true } }
        return result
    }
}

/// One node of a bundle, seen where its own ports can be seen: behind a NAT in the capture of its own side.
struct NodeView {
    let peer: Manifest.Peer
    let host: IPAddress
    let serverPort: UInt16
    let clientPort: UInt16
    let capture: Capture
    /// UDP packets from and to the host, in order.
    let packets: [CapturedPacket]

    init?(_ bundle: TraceBundle, _ peer: Manifest.Peer) {
        guard let server = peer.serverPort, let client = peer.clientPort, let host = peer.host else { return nil }
        self.peer = peer
        serverPort = server
        clientPort = client
        let lan = bundle.manifest?.topology?[peer.name]?["lan"]?.string.flatMap { IPAddress($0) }
        if let lan, let own = bundle.extraCaptures.first(where: { $0.name == peer.name }) {
            self.host = lan
            capture = own.capture
        } else {
            self.host = host
            capture = bundle.capture
        }
        let place = self.host
        packets = capture.packets.filter {
            $0.transport == .udp && ($0.source.address == place || $0.destination.address == place)
        }
    }

    var isBehindNAT: Bool { host != peer.host }
    /// Targets of its own server.
    var keys: Set<Bytes32> { Set([peer.publicKey].compactMap { $0 }.map { Blake2b.hash256($0.bytes) }) }
    var server: Endpoint { Endpoint(host, serverPort) }
    var client: Endpoint { Endpoint(host, clientPort) }

    func isOwn(_ endpoint: Endpoint) -> Bool { endpoint == server || endpoint == client }

    /// What it sent from its two sockets, without packets of streams.
    var sent: [CapturedPacket] { packets.filter { isOwn($0.source) && !Exchange.isStreamPacket($0.payload) } }

    /// Its own requests: not those that it passed on for others, which carry application commands.
    var searches: [(packet: CapturedPacket, target: Bytes32)] {
        sent.compactMap { packet in
            guard let request = try? Request(decoding: packet.payload), request.isInternal, request.command == 2,
                let target = request.target
            else { return nil }
            return (packet, target)
        }
    }

    var firstSearch: Bytes32? { searches.first?.target }

    /// Its bootstrap nodes: whom it asked before the one that the first answer brings up next, which is the last of its closer nodes.
    var bootstrap: [Endpoint] {
        guard let first = searches.first else { return [] }
        let answer = packets.lazy.compactMap { packet -> Response? in
            isOwn(packet.destination) && packet.source == first.packet.destination ? try? Response(decoding: packet.payload) : nil
        }.first
        var asked: [Endpoint] = []
        for (packet, target) in searches where target == first.target {
            if asked.contains(packet.destination) { continue }
            let next = answer?.closerNodes.last { !asked.contains($0) && $0 != server }
            if !asked.isEmpty, next == nil || packet.destination == next { break }
            asked.append(packet.destination)
        }
        // What was pending before that answer is asked after all that it lists, whatever its place in the list.
        let order = (answer?.closerNodes ?? []).reversed().filter { !asked.contains($0) && $0 != server }
        var rest: [Endpoint] = []
        for (packet, target) in searches where target == first.target && order.contains(packet.destination) {
            if !rest.contains(packet.destination) { rest.append(packet.destination) }
        }
        let kept = (0...rest.count).reversed().first { count in
            let head = rest.prefix(count)
            return head.elementsEqual(order.filter { head.contains($0) })
        }
        // The last one in the list is asked first.
        return (asked + rest.dropFirst(kept ?? rest.count)).reversed()
    }

    /// Requests leave through the client socket of a node that is not known to be reachable.
    var startsFirewalled: Bool {
        guard let first = searches.first else { return peer.isFirewalled ?? true }
        return first.packet.source == client
    }
}
