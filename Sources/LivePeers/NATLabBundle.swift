import Foundation
import KeyLog
import SansIO
import StrictJSON

/// Writes what belongs to the captures of a cell: `keylog.jsonl`, `events.jsonl`, `manifest.json` and the peers' whole talk.
enum NATLabBundle {
    static func write(_ lab: NATLab, _ script: NATLabScript, _ implementation: String, isOK: Bool, to place: String) throws {
        func save(_ text: String, _ file: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: "\(place)/\(file)")) }
        var logs: [KeyLogEntry] = []
        for peer in script.peers {
            let path = "\(place)/keylog.\(peer.name).jsonl"
            guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else { continue }
            logs += try KeyLog(parsing: [UInt8](data), file: path).entries
            try FileManager.default.removeItem(atPath: path)
        }
        logs.sort { $0.time < $1.time }
        if !logs.isEmpty { try save(KeyLog(entries: logs).text(headerTime: logs[0].time), "keylog.jsonl") }

        var lines: [(time: Int64, text: String)] = []
        for peer in script.peers {
            for (time, json) in peer.transcript where json["event"] != nil {
                var object: JSONObject = ["t": json["t"] ?? .integer(time), "who": .string(peer.name)]
                for member in json.object?.members ?? [] where member.key != "t" { object.set(member.key, member.value) }
                lines.append((json["t"]?.integer ?? time, JSON.object(object).text()))
            }
        }
        try save(lines.sorted { $0.time < $1.time }.map { $0.text + "\n" }.joined(), "events.jsonl")

        let cell = lab.cell
        var topology: JSONObject = [
            "publicNetwork": "198.18.0.0/16",
            "client": [
                "nat": .string(cell.client.rawValue), "wan": .string(lab.client.publicAddress), "lan": .string(lab.client.address),
            ],
            "server": [
                "nat": .string(cell.server.rawValue), "wan": .string(lab.server.publicAddress), "lan": .string(lab.server.address),
            ],
            "captureAt": "public bridge",
        ]
        // Either way the public side does not see all: whoever judges the bundle later must know.
        if let hindrance = cell.hindrance { topology.set("hindrance", .string(hindrance.rawValue)) }
        if cell.isLAN { topology.set("oneNetwork", true) }
        let manifest: JSON = [
            "schema": "hyperswarm-trace/1", "scenario": .string("nat-\(cell.name)"), "implementation": .string(implementation),
            "ok": .bool(isOK),
            "topology": .object(topology),
            "peers": .object(script.manifest),
        ]
        try save(manifest.text(indent: 2) + "\n", "manifest.json")
        let talk = script.peers.flatMap { peer in
            peer.calls.map { ($0.time, "\($0.time) > \(peer.name) \($0.command) \(JSON.object($0.arguments).text())") }
                + peer.transcript.map { ($0.time, "\($0.time) < \(peer.name) \($0.json.text())") }
                + peer.standardErrorTail.map { (Int64.max, "! \(peer.name) \($0)") }
        }
        try save(talk.sorted { $0.0 < $1.0 }.map { $0.1 + "\n" }.joined(), "transcript.txt")
    }
}
