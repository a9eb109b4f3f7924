/// Which checks a run executes, and about which requirements it speaks.
public struct Plan: Sendable {
    public let requirements: [Requirement]
    public let checks: [Check]
    public let mutants: [Mutant]

    /// The suites are held against the catalogue first: doubled ids, unknown requirements, and checks that carry none are errors of the harness.
    ///
    /// - Parameters:
    ///   - layers: only these; empty is all.
    ///   - ids: only checks with one of these ids, or whose id begins with one followed by a dot; empty is all.
    public init(catalogue: Catalogue, suites: [CheckSuite], layers: [String] = [], ids: [String] = [], tiers: [Tier] = []) throws {
        for layer in layers where !Layers.all.contains(layer) {
            throw SelectionError("there is no layer \"\(layer)\"; the layers are \(Layers.all.joined(separator: ", "))")
        }
        try Plan.validate(suites, catalogue)
        let wanted = Set(layers)
        func speaks(_ requirement: String) -> Bool { wanted.isEmpty || wanted.contains(catalogue[requirement]?.layer ?? "") }
        func named(_ check: Check) -> Bool { ids.isEmpty || ids.contains { check.id == $0 || check.id.hasPrefix($0 + ".") } }
        for id in ids where !suites.contains(where: { $0.checks.contains { $0.id == id || $0.id.hasPrefix(id + ".") } }) {
            throw SelectionError("there is no check \"\(id)\"; \"hyperconform run\" lists them in its JSON, \"explain\" by requirement")
        }
        var seen: Set<String> = []
        checks = suites.flatMap { suite in
            suite.checks.filter { check in
                named(check) && (tiers.isEmpty || tiers.contains(check.tier))
                    && (wanted.isEmpty || wanted.contains(suite.layer) || check.requirements.contains(where: speaks))
                    && seen.insert(check.id).inserted
            }
        }
        let carried = Set(checks.flatMap(\.requirements))
        requirements = Layers.all.flatMap { layer in
            catalogue.requirements.filter {
                $0.layer == layer && (wanted.isEmpty || wanted.contains(layer)) && (ids.isEmpty || carried.contains($0.id))
            }
        }
        let spoken = Set(requirements.map(\.id))
        mutants = suites.flatMap(\.mutants).filter { spoken.contains($0.requirement) }
    }

    private static func validate(_ suites: [CheckSuite], _ catalogue: Catalogue) throws {
        var checkIDs: Set<String> = []
        var mutantIDs: Set<String> = []
        var codes: [UInt32: String] = [:]
        for suite in suites {
            for check in suite.checks {
                guard checkIDs.insert(check.id).inserted else { throw RegistryError("the check id \"\(check.id)\" stands twice") }
                if let unknown = check.requirements.first(where: { catalogue[$0] == nil }) {
                    throw RegistryError("check \"\(check.id)\" carries \"\(unknown)\", which is not in \(Catalogue.path)")
                }
                guard !check.requirements.isEmpty || check.tier == .vector else {
                    throw RegistryError("check \"\(check.id)\" carries no requirement")
                }
            }
            for mutant in suite.mutants {
                guard mutantIDs.insert(mutant.id).inserted else { throw RegistryError("the mutant id \"\(mutant.id)\" stands twice") }
                guard catalogue[mutant.requirement] != nil else {
                    throw RegistryError("mutant \"\(mutant.id)\" breaks \"\(mutant.requirement)\", which is not in \(Catalogue.path)")
                }
                if let other = codes.updateValue(mutant.id, forKey: mutant.mutation.code) {
                    throw RegistryError("the mutants \"\(other)\" and \"\(mutant.id)\" plant the same bug")
                }
            }
        }
    }
}

/// The user asked for something that does not exist: wrong usage.
public struct SelectionError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The build's own checks contradict each other or the catalogue.
public struct RegistryError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
