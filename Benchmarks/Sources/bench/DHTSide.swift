import ArgumentParser

/// Which figures are wanted: all, or those whose names begin with one of the words.
struct Figures {
    /// What one client does, one at a time or 32.
    static let ofClients = ["lookups1", "lookups32", "announces1", "announces32", "connects1", "connects32"]

    private let words: [Substring]

    init(_ text: String) { words = text.split(separator: ",") }

    func contains(_ name: String) -> Bool { words.isEmpty || words.contains { name.hasPrefix($0) } }
}

/// One implementation under measurement: its network, and its figures by name.
final class Side {
    let name: String
    private let start: ([String]) throws -> ChildProcess
    private(set) var network: ChildProcess?
    private var port = 0
    private var key = ""
    private(set) var result: [String: Double] = [:]

    init(_ name: String, _ start: @escaping ([String]) throws -> ChildProcess) {
        self.name = name
        self.start = start
    }

    func startNetwork() throws {
        let network = try start(["network"])
        guard let ready = network.line(), let port = Words.number(ready, "port"), let key = Words.text(ready, "publicKey") else {
            throw ValidationError("the network did not start")
        }
        (self.network, self.port, self.key) = (network, Int(port), key)
    }

    private var networkCPU: Double { network.map { ProcessTimes.seconds(of: $0.pid) } ?? .nan }

    func flood(_ name: String, _ command: (isInternal: Bool, command: UInt64), _ seconds: Double) throws {
        let flood = try Flood(to: UInt16(port))
        let before = networkCPU
        let answered = flood.run(seconds: seconds, command)
        result[name] = Double(answered) / seconds
        result[name + " cpu"] = (networkCPU - before) * 1e6 / Double(max(1, answered))
    }

    func client(_ name: String, _ seconds: Double) throws {
        let before = networkCPU
        let client = try start(["client", "--port", "\(port)", "--key", key, "--figure", name, "--seconds", "\(seconds)"])
        guard let line = client.line() else { throw ValidationError("the client failed") }
        let spent = networkCPU - before
        client.finish()
        result["bootstrap"] = Words.number(line, "bootstrapRequests")
        result[name] = Words.number(line, "perSecond")
        result[name + " cpu"] = Words.number(line, "cpuMilliseconds")
        if let count = Words.number(line, "count"), count > 0 { result[name + " network"] = spent * 1000 / count }
    }

    func idle(_ count: Int) throws {
        let server = try start(["server", "--port", "\(port)"])
        guard let line = server.line(), let key = Words.text(line, "publicKey") else { throw ValidationError("the server did not start") }
        server.send("memory")
        let before = server.line().flatMap { Words.number($0, "resident") } ?? 0
        let holder = try start(["idle", "--port", "\(port)", "--key", key, "--idle", "\(count)"])
        if let line = holder.line(), let open = Words.number(line, "open"), open > 0 {
            server.send("memory")
            let after = server.line().flatMap { Words.number($0, "resident") } ?? 0
            result["idle client"] = ((Words.number(line, "after") ?? 0) - (Words.number(line, "before") ?? 0)) / open
            result["idle server"] = (after - before) / open
            result["idle open"] = open
        }
        holder.finish()
        server.finish()
    }
}
