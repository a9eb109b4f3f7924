import Conformance

/// Requirements of the Noise layer that take a whole server: golden exchanges show them.
enum NoiseServerChecks {
    static let suite = CheckSuite(
        layer: "noise",
        checks: [
            Check("noise.server.same-message", ["NOISE-12"], .machine) { exam in
                // From one tester, from another, and through a relay.
                try run(["hdht-41-same-noise", "hdht-41-relayed-copy"], exam)
            },
            Check("noise.server.empty-payload", ["NOISE-16"], .machine) { exam in
                try run(["hdht-43-undecodable-payload"], exam)
            },
        ],
        mutants: [
            Mutant("NOISE-12", .noise(12), "A copy of message 1 starts a handshake of its own."),
            Mutant("NOISE-16", .noise(16), "A payload that does not decode counts as one with defaults."),
        ])

    private static func run(_ cases: [String], _ exam: Examination) throws {
        let file = try VectorFile(Exchange.file, in: exam.corpus, schema: Exchange.schema)
        for id in cases {
            guard let json = file.cases.first(where: { $0["id"]?.string == id }) else {
                return exam.notRun("\(file.path) has no case \(id)")
            }
            try exam.at(id) { try ExchangeChecks.run(json, exam) }
        }
    }
}
