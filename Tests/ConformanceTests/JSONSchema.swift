import Foundation
import StrictJSON

/// As much of JSON Schema as the schemas of this repository use; an unknown keyword is a complaint of its own, never ignored.
struct JSONSchema {
    let root: JSON

    /// Complaints, each with a path; empty is valid.
    func complaints(_ value: JSON) -> [String] { complaints(value, root, "$") }

    private static let silent: Set<String> = ["$schema", "$id", "title", "description"]

    private func complaints(_ value: JSON, _ schema: JSON, _ path: String) -> [String] {
        var result: [String] = []
        for member in schema.object?.members ?? [] where !JSONSchema.silent.contains(member.key) {
            let rule = member.value
            switch member.key {
            case "type":
                let types = rule.array?.compactMap(\.string) ?? [rule.string ?? ""]
                if !types.contains(where: { has(value, $0) }) { result.append("\(path) is not \(types.joined(separator: " or "))") }
            case "const": if value != rule { result.append("\(path) is not \(rule.text())") }
            case "enum": if rule.array?.contains(value) != true { result.append("\(path) is none of \(rule.text())") }
            case "minimum": if let number = value.double, number < rule.double ?? 0 { result.append("\(path) is too small") }
            case "maximum": if let number = value.double, number > rule.double ?? 0 { result.append("\(path) is too large") }
            case "minLength": if let text = value.string, text.count < Int(rule.integer ?? 0) { result.append("\(path) is too short") }
            case "minItems": if let array = value.array, array.count < Int(rule.integer ?? 0) { result.append("\(path) has too few items") }
            case "maxItems":
                if let array = value.array, array.count > Int(rule.integer ?? 0) { result.append("\(path) has too many items") }
            case "uniqueItems":
                if let array = value.array, Set(array.map { $0.text() }).count != array.count { result.append("\(path) has doubled items") }
            case "pattern":
                if let text = value.string, text.range(of: rule.string ?? "", options: .regularExpression) == nil {
                    result.append("\(path) does not match \(rule.string ?? "")")
                }
            case "items": for (index, item) in (value.array ?? []).enumerated() { result += complaints(item, rule, "\(path)[\(index)]") }
            case "required":
                guard let object = value.object else { break }
                for key in rule.array?.compactMap(\.string) ?? [] where object[key] == nil { result.append("\(path).\(key) is missing") }
            case "minProperties":
                if let object = value.object, object.members.count < Int(rule.integer ?? 0) { result.append("\(path) is too empty") }
            case "properties":
                for property in value.object?.members ?? [] {
                    if let own = rule[property.key] { result += complaints(property.value, own, "\(path).\(property.key)") }
                }
            case "propertyNames":
                for property in value.object?.members ?? [] { result += complaints(.string(property.key), rule, "\(path) key") }
            case "additionalProperties":
                for property in value.object?.members ?? [] where schema["properties"]?[property.key] == nil {
                    if rule.bool == false {
                        result.append("\(path).\(property.key) is unknown")
                    } else if rule.object != nil {
                        result += complaints(property.value, rule, "\(path).\(property.key)")
                    }
                }
            case "oneOf":
                let matches = (rule.array ?? []).filter { complaints(value, $0, path).isEmpty }.count
                if matches != 1 { result.append("\(path) matches \(matches) of the alternatives: \(value.text().prefix(200))") }
            default: result.append("the schema uses \(member.key)")
            }
        }
        return result
    }

    private func has(_ value: JSON, _ type: String) -> Bool {
        switch type {
        case "object": value.object != nil
        case "array": value.array != nil
        case "string": value.string != nil
        case "integer": value.integer != nil
        case "number": value.double != nil
        case "boolean": value.bool != nil
        case "null": value.isNull
        default: false
        }
    }
}
