/// Reports a promise that does not hold.
@discardableResult
func hold(
  _ condition: Bool, _ text: @autoclosure () -> String = "", file: StaticString = #fileID,
  line: UInt = #line
) -> Bool {
  if !condition { report("\(file):\(line) does not hold: \(text())") }
  return condition
}
