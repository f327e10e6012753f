dpre = dact * cdf
