// Settings as the host hands them over.

// Parses settings. What is wrong with them is thrown as a list of problems, which `validate` hands on as it is.
export function parse(text, check) {
  let settings;
  try {
    settings = JSON.parse(text);
  } catch (error) {
    throw [{ path: "", message: String(error) }];
  }
  const problems = check(settings);
  if (problems.length > 0) throw problems;
  return settings;
}
