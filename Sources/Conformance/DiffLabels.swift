import CompactEncoding
import Dissection
import PacketCapture
import SansIO

/// Names that two runs share for what has another number in each: sockets, keys, targets.
struct DiffLabels {
    private var endpoints: [Endpoint: String] = [:]
    private var keys: [Bytes32: String] = [:]
    /// Peers that serve the network as nodes: for the commands of the network they are like any other.
    private var persistent: Set<String> = []

    /// - Parameter common: endpoints that occur in both captures keep their own address if the manifest does not name them.
    ///   - other: the capture that this one is compared with; sockets that only one of the two manifests names are nameless in both.
    init(_ bundle: TraceBundle, common: Set<Endpoint>, like other: TraceBundle) {
        let knowledge = Knowledge(bundle)
        let twins = Dictionary((other.manifest?.peers ?? []).map { ($0.name, $0) }) { first, _ in first }
        for peer in bundle.manifest?.peers ?? [] {
            if let host = peer.host, let twin = twins[peer.name], twin.serverPort != nil || twin.port != nil {
                if let port = peer.serverPort { endpoints[Endpoint(host, port)] = peer.name + ".server" }
                if let port = peer.clientPort { endpoints[Endpoint(host, port)] = peer.name + ".client" }
                if let port = peer.port { endpoints[Endpoint(host, port)] = peer.name }
            }
            if peer.isEphemeral == false, peer.nodeID != nil { persistent.insert(peer.name + ".server") }
            if let id = peer.nodeID { keys[id] = "id of \(peer.name)" }
            if let key = peer.publicKey { keys[key] = peer.name }
        }
        for (target, key) in knowledge.keysByTarget where keys[target] == nil {
            if let name = keys[key] { keys[target] = "target of \(name)" } else { keys[target] = "a value of the run" }
        }
        for endpoint in common where endpoints[endpoint] == nil { endpoints[endpoint] = endpoint.description }
    }

    /// "dht3.server", or "another socket".
    func name(_ endpoint: Endpoint) -> String { endpoints[endpoint] ?? "another socket" }
    func isKnown(_ endpoint: Endpoint) -> Bool { endpoints[endpoint] != nil }

    /// The name without numbers: nodes that do the same work.
    func role(_ endpoint: Endpoint) -> String {
        guard let name = endpoints[endpoint] else { return "another socket" }
        return name.contains(":") ? name : name.filter { !$0.isNumber }
    }

    /// The role of whoever is asked: nodes of the network are equal, whatever else they do.
    func askedRole(_ endpoint: Endpoint) -> String {
        if let name = endpoints[endpoint], persistent.contains(name) { return "dht.server" }
        return role(endpoint)
    }

    func name(_ key: Bytes32?) -> String { key.map { keys[$0] ?? "unknown" } ?? "none" }
}
