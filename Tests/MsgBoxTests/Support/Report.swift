import Testing

/// Takes what is broken. The programs that fuzz have a function of this name that ends them.
func report(_ text: String) {
  Issue.record("\(text)")
}
